//! policy-keyword
