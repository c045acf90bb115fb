//! From text files to padded batches, and the metrics of what comes out.
