//! policy-weighted
