//! adapter-openai
