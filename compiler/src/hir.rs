//! What the author of a policy meant.
