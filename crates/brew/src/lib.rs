//! Distil language models: models, data, losses and distillers behind one facade.
