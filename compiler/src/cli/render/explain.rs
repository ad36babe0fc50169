//! An explanation for people.
