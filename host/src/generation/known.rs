//! What is known of a provider beside its adapter's profile.

/// Data of the provider's file, and of the configuration.
#[derive(Debug)]
pub struct Known {
    /// Headers of its answers that tell its limits, by meaning.
    pub limit_headers: Vec<(String, String)>,
    /// Settings, as JSON text, that requests in the provider's own words need not be translated for.
    pub passing: String,
    /// Whether it is Google's own, by its name in the catalog: it reads its signatures in OpenAI's words, too.
    pub is_googles: bool,
}
