//! What the tests of the other crates share: the test backend and the golden loader.
