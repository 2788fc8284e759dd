//! adapter-anthropic
