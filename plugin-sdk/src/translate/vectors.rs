//! Texts as vectors: the texts of a canonical request, and the canonical list of what they became. The gateway itself writes vectors in
//! the format that was asked for.

use serde::Serialize;

use super::{Members, Raw, read, refuse, upstream};
use crate::{Answer, Failure, Usage};

/// The canonical list.
#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Vector<'a>>,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
}

#[derive(Serialize)]
struct Vector<'a> {
    object: &'static str,
    index: usize,
    embedding: Raw<'a>,
}

#[derive(Serialize)]
struct Tokens {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// Takes the texts of `input`, each still in its quotes. Numbers of tokens are another model's, and refused; what says nothing to a
/// provider is taken, too.
pub fn texts<'a>(members: &mut Members<'a>, provider: &str) -> Result<Vec<Raw<'a>>, Failure> {
    for silent in ["model", "encoding_format", "user"] {
        members.remove(silent);
    }
    let input = members.take_raw("input").ok_or_else(|| refuse("input is missing"))?;
    let is_text = |raw: &str| raw.starts_with('"');
    if is_text(input.get()) {
        return Ok(vec![input]);
    }
    let list: Vec<Raw> = read(input.get(), "input")?;
    match list.iter().position(|item| !is_text(item.get())) {
        Some(at) => Err(refuse(format!("input[{at}] is no text; {provider} takes texts only"))),
        None => Ok(list),
    }
}

/// The answer with a vector for each text, in their order, each as the provider wrote it; tokens where it counted them.
pub fn vectors<'a>(model: &'a str, vectors: Vec<Raw<'a>>, tokens: Option<u64>) -> Result<Answer, Failure> {
    let vector = |(index, embedding)| Vector {
        object: "embedding",
        index,
        embedding,
    };
    let list = List {
        object: "list",
        data: vectors.into_iter().enumerate().map(vector).collect(),
        model,
        usage: tokens.map(|tokens| Tokens {
            prompt_tokens: tokens,
            total_tokens: tokens,
        }),
    };
    let body = serde_json::to_vec(&list).map_err(|error| upstream(format!("the answer cannot be written: {error}")))?;
    let usage = tokens.map(|input| Usage { input, ..Usage::none() });
    Ok(Answer { body, usage })
}
