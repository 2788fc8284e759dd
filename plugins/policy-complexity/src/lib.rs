//! policy-complexity
