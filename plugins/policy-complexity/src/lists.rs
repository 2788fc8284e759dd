//! The terms built in, by the names that the configuration has for them. The lists of `density` and `indicators` belong to
//! the scores as they are known; those of `seven-signals` are our own.

/// `technical` for `density`.
pub(crate) const TECHNICAL: &str = "\
    algorithm, optimize, architecture, implement, debug, refactor";

/// `coding`, parts of words as all terms of `indicators`.
pub(crate) const CODING: &str = "\
    code, programming, python, javascript, function, debug, algorithm, database, api, deploy, refactor";

/// `complex`; two of them are a complex prompt.
pub(crate) const COMPLEX: &str = "\
    analyze, compare, evaluate, strateg, complex, advanced, research, synthesis";

/// `creative`.
pub(crate) const CREATIVE: &str = "\
    write, story, creative, poem, script, ad";

/// `code` for `seven-signals`.
pub(crate) const CODE: &str = "\
    ```, function, class, method, code, python, javascript, typescript, java, rust, golang, c++, sql, api, bug, \
    debug, compile, compiler error, refactor, regex, exception, stack trace, unit test, database, dockerfile, git, \
    json, async, endpoint, script";

/// `reasoning`.
pub(crate) const REASONING: &str = "\
    step by step, step-by-step, think through, reason through, think carefully, chain of thought, show your work, \
    show your reasoning, prove, proof, derive, deduce, justify, explain why, pros and cons, trade-offs, logically";

/// `technical` for `seven-signals`.
pub(crate) const ENGINEERING: &str = "\
    algorithm, architecture, distributed, concurrency, latency, throughput, scalability, optimization, complexity, \
    consensus, encryption, protocol, kubernetes, microservices, replication, transaction, neural network, machine \
    learning, transformer, gradient, compiler, kernel, theorem, integral, matrix, eigenvalue, probability, \
    differential equation, regression, statistics";

/// `simple`.
pub(crate) const SIMPLE: &str = "\
    what is, what are, who is, who was, when is, when was, where is, define, definition of, meaning of, how do you \
    spell, capital of, translate, hello, hi, thanks, thank you";

/// The terms of a list.
pub(crate) fn terms(list: &str) -> Vec<String> {
    list.split(", ").map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_cut_into_terms_without_a_rest_of_its_layout() {
        for list in [
            TECHNICAL,
            CODING,
            COMPLEX,
            CREATIVE,
            CODE,
            REASONING,
            ENGINEERING,
            SIMPLE,
        ] {
            let terms = terms(list);
            assert!(terms.len() > 5, "{list}");
            let is_clean =
                |term: &String| *term == term.trim() && !term.is_empty() && !term.contains([',', '\n', '\\']);
            assert!(terms.iter().all(is_clean), "{terms:?}");
        }
    }
}
