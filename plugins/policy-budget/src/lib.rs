//! policy-budget
