//! `POST /v1/images/generations`, `/v1/images/edits`, `/v1/audio/speech`, `/v1/audio/transcriptions` and `/v1/audio/translations`:
//! what is checked of such a request, and what the gateway knows of it in the words that it has for conversations; and what an
//! answer says that was used. Requests and answers pass as they are: only the model is renamed.

use bytes::Bytes;

use super::Heard;
use super::chat::{Ask, missing, model, wrong_type};
use crate::error::ApiError;
use crate::json::{Document, Kind, Limits, Value};
use crate::money::Usage;
use crate::operation::Operation;

/// As deep as an answer may be.
const LIMITS: Limits = Limits { depth: 128 };
/// The most that a provider bills for an image of the usual sizes: gpt-image-1's 6,240 tokens at its best, and 100 for each of three
/// images on the way there, rounded up. <https://platform.openai.com/docs/guides/image-generation>
const MOST_IMAGE_TOKENS: u32 = 10_000;
/// Where a size is asked for, so many pixels are a token at least: gpt-image-1 has one for 252.
const TOKEN_PIXELS: u64 = 200;

/// Where speech is billed by tokens and nobody says how many they were, two bytes of its text are taken for three of them: sound is
/// about twenty tokens a second, and a second of it is some fifteen letters, or four of the signs that are three bytes each.
const SPOKEN_TOKENS: (u64, u64) = (3, 2);

/// Reads a request, whose fields are texts where it came as a form; the error names the field that is wrong.
pub(super) fn read(document: &Document, operation: Operation) -> Result<Ask, ApiError> {
    let body = document.root();
    let mut ask = Ask {
        operation,
        body_bytes: document.text().len() as u64,
        messages: 1,
        is_stream: flag(body, "stream")?,
        ..Ask::empty(model(body)?)
    };
    let said = match operation {
        Operation::Speech => {
            // Sound goes on as it comes.
            (ask.is_stream, ask.wants_audio) = (true, true);
            let input = text(body, "input")?;
            let characters = body.field("input").and_then(|input| input.as_str());
            ask.characters = characters.map_or(input, |text| text.chars().count() as u64);
            input
        }
        Operation::Transcription | Operation::Translation => {
            // Nobody can tell from a file how long it is.
            ask.other_parts = 1;
            let file = body.field("file").ok_or_else(|| missing("file"))?;
            if file.kind() != Kind::Object {
                return Err(wrong_type("file", "a file, sent as a part of a form with a `filename`"));
            }
            body.field("prompt").map_or(0, |prompt| prompt.str_len() as u64)
        }
        _ => {
            ask.choices = count(body, "n")?.unwrap_or(1);
            ask.image_tokens = Some(most_tokens(body));
            for name in ["image", "images", "mask"] {
                body.field(name).into_iter().for_each(|images| given(&mut ask, images));
            }
            if operation == Operation::ImageEdit && ask.images == 0 {
                return Err(missing("image"));
            }
            text(body, "prompt")?
        }
    };
    ask.text_bytes = said;
    Ok(ask)
}

/// What speech has used where its provider says nothing, if it is known at all: the characters, which are what is billed or tell how
/// much it will have been.
pub fn spoken(ask: &Ask, is_by_character: bool, most_output: u64) -> Option<Usage> {
    if ask.operation != Operation::Speech {
        return None;
    }
    let characters = ask.characters;
    if is_by_character {
        return Some(Usage {
            characters,
            ..Usage::default()
        });
    }
    let (tokens, bytes) = SPOKEN_TOKENS;
    let output = ask.text_bytes.saturating_mul(tokens).div_ceil(bytes).min(most_output);
    Some(Usage {
        input: ask.estimated_input_tokens().into(),
        output,
        audio_output: output,
        characters,
        ..Usage::default()
    })
}

fn text(body: Value<'_>, field: &str) -> Result<u64, ApiError> {
    let value = body.field(field).ok_or_else(|| missing(field))?;
    match value.kind() {
        Kind::String => Ok(value.str_len() as u64),
        _ => Err(wrong_type(field, "a string")),
    }
}

/// Images that are to be changed, by file, URL or id.
fn given(ask: &mut Ask, images: Value<'_>) {
    let (one, several) = match images.kind() {
        Kind::Array => (None, Some(images.elements())),
        _ => (Some(images), None),
    };
    for image in one.into_iter().chain(several.into_iter().flatten()) {
        ask.images += 1;
        let url = image.get("image_url").filter(|url| url.kind() == Kind::String);
        ask.image_url_bytes += url.map_or(0, |url| url.str_len() as u64);
    }
}

/// The most tokens of each image that is to be made.
fn most_tokens(body: Value<'_>) -> u32 {
    let size = body.field("size").and_then(|size| size.as_str()).unwrap_or_default();
    let sides = size.split_once('x');
    let sides = sides.and_then(|(width, height)| Some((width.parse::<u32>().ok()?, height.parse::<u32>().ok()?)));
    let pixels = sides.map_or(0, |(width, height)| u64::from(width) * u64::from(height));
    let tokens = u32::try_from(pixels / TOKEN_PIXELS).unwrap_or(u32::MAX);
    tokens.max(MOST_IMAGE_TOKENS)
}

/// A form has texts alone.
fn flag(body: Value<'_>, key: &str) -> Result<bool, ApiError> {
    let Some(value) = body.field(key) else { return Ok(false) };
    let text = value.as_str().map(|text| text.to_ascii_lowercase());
    match (value.as_bool(), text.as_deref()) {
        (Some(is_set), _) => Ok(is_set),
        (_, Some("true" | "1")) => Ok(true),
        (_, Some("false" | "0" | "")) => Ok(false),
        _ => Err(wrong_type(key, "true or false")),
    }
}

fn count(body: Value<'_>, key: &str) -> Result<Option<u32>, ApiError> {
    let read = |value: Value<'_>| {
        let count = value.as_u64().or_else(|| value.as_str()?.parse().ok());
        let count = count
            .filter(|count| *count > 0)
            .and_then(|count| u32::try_from(count).ok());
        count.ok_or_else(|| wrong_type(key, "a positive whole number"))
    };
    body.field(key).map(read).transpose()
}

/// What has been said so far of an answer.
#[derive(Debug, Default)]
pub struct Hearing {
    usage: Option<Usage>,
    /// Whether something of it is whole; of several images each says so.
    has_ended: bool,
    makes_sound: bool,
    makes_images: bool,
    characters: u64,
}

impl Hearing {
    /// Of an answer to this.
    pub fn of(ask: &Ask) -> Self {
        Self {
            makes_sound: ask.operation == Operation::Speech,
            makes_images: matches!(ask.operation, Operation::Image | Operation::ImageEdit),
            characters: ask.characters,
            ..Self::default()
        }
    }

    /// A whole answer. Not every one is JSON.
    pub fn whole(&mut self, answer: &Bytes) -> Heard {
        if !answer.trim_ascii_start().starts_with(b"{") {
            return Heard::Closing;
        }
        let Ok(answer) = Document::parse(answer.clone(), LIMITS) else {
            return Heard::Closing;
        };
        match answer.root().field("error") {
            Some(error) => Heard::Error(error.raw().to_owned()),
            None => {
                self.read(answer.root());
                Heard::Closing
            }
        }
    }

    /// An event of a stream.
    pub fn event(&mut self, data: &[u8]) -> Result<Heard, String> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Heard::Closing);
        }
        let event = Document::parse(Bytes::copy_from_slice(data), LIMITS);
        let event = event.map_err(|error| format!("a stream event is not JSON: {error}"))?;
        let root = event.root();
        let kind = root.get("type").and_then(|kind| kind.as_str()).unwrap_or_default();
        let error = root.field("error");
        if kind == "error" || error.is_some() {
            return Ok(Heard::Error(error.unwrap_or(root).raw().to_owned()));
        }
        self.has_ended |= kind.ends_with(".done") || kind.ends_with(".completed");
        self.read(root);
        Ok(Heard::Progress)
    }

    /// Whether a stream may end here: after several images nothing else says so.
    pub fn may_end(&self) -> bool {
        self.has_ended
    }

    /// As it is billed.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Seconds, which some models tell instead, are nothing that has a price here.
    fn read(&mut self, answer: Value<'_>) {
        let Some(usage) = answer.field("usage") else { return };
        let count =
            |object: Value<'_>, name: &str| object.field(name)?.as_u64().filter(|count| *count <= u32::MAX.into());
        let (Some(input), Some(output)) = (count(usage, "input_tokens"), count(usage, "output_tokens")) else {
            return;
        };
        let details = usage
            .field("input_tokens_details")
            .or(usage.field("input_token_details"));
        let inside = |name: &str| details.and_then(|details| count(details, name)).unwrap_or(0);
        let made = usage.field("output_tokens_details");
        let made = made.and_then(|details| count(details, "image_tokens"));
        let cache_read = inside("cached_tokens").min(input);
        let audio_input = inside("audio_tokens").min(input - cache_read);
        // What makes images writes nothing else, unless it says so.
        let image_output = if self.makes_images { made.unwrap_or(output) } else { 0 };
        let used = Usage {
            input: input - cache_read,
            audio_input,
            image_input: inside("image_tokens").min(input - cache_read - audio_input),
            cache_read,
            output,
            audio_output: if self.makes_sound { output } else { 0 },
            image_output: image_output.min(output),
            characters: self.characters,
            ..Usage::default()
        };
        // Each image of a stream has its own.
        self.usage = Some(self.usage.map_or(used, |before| before.plus(&used)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hearing(operation: Operation) -> Hearing {
        let ask = Ask {
            operation,
            ..Ask::empty("m".to_owned())
        };
        Hearing::of(&ask)
    }

    fn read(operation: Operation, body: &str) -> Result<Ask, String> {
        let document = Document::parse(Bytes::copy_from_slice(body.as_bytes()), LIMITS).unwrap();
        Ask::read(&document, operation)
            .map_err(|error| format!("{} [{}]", error.message, error.param.unwrap_or_default()))
    }

    #[test]
    fn requests_are_read_from_json_and_from_the_texts_of_a_form() {
        let image = read(
            Operation::ImageEdit,
            r#"{"model":"m","prompt":"four","n":"2","stream":"true","size":"4000x2000","image":[{"bytes":1},{"bytes":2}],"mask":{}}"#,
        );
        let image = image.unwrap();
        assert_eq!(
            (image.choices, image.images, image.text_bytes, image.is_stream),
            (2, 3, 4, true)
        );
        assert_eq!(image.image_tokens, Some(40_000));
        let linked = read(
            Operation::ImageEdit,
            r#"{"model":"m","prompt":"p","n":1,"images":[{"image_url":"data:AAAA"}]}"#,
        );
        let linked = linked.unwrap();
        assert_eq!(
            (linked.images, linked.image_url_bytes, linked.image_tokens),
            (1, 9, Some(10_000))
        );
        let speech = read(Operation::Speech, r#"{"model":"m","input":"four"}"#).unwrap();
        assert!(speech.is_stream && speech.wants_audio);
        let chinese = read(Operation::Speech, r#"{"model":"m","input":"你好!\n"}"#).unwrap();
        assert_eq!(
            (chinese.characters, spoken(&chinese, true, 9).unwrap().characters),
            (4, 4)
        );
        let tokens = spoken(&speech, false, 9).unwrap();
        assert_eq!((tokens.output, tokens.audio_output, tokens.characters), (6, 6, 4));
        let heard = read(
            Operation::Transcription,
            r#"{"model":"m","file":{"bytes":9},"stream":"False"}"#,
        )
        .unwrap();
        assert_eq!((heard.other_parts, heard.is_stream), (1, false));
    }

    #[test]
    fn what_is_wrong_is_named() {
        use Operation::{Image, ImageEdit, Speech, Translation};
        for (operation, body, expected) in [
            (Image, r#"{"prompt":"p"}"#, "`model` is missing [model]"),
            (Image, r#"{"model":"m"}"#, "`prompt` is missing [prompt]"),
            (
                Image,
                r#"{"model":"m","prompt":["p"]}"#,
                "`prompt` must be a string [prompt]",
            ),
            (
                Image,
                r#"{"model":"m","prompt":"p","n":"no"}"#,
                "`n` must be a positive whole number [n]",
            ),
            (
                Image,
                r#"{"model":"m","prompt":"p","stream":"no"}"#,
                "`stream` must be true or false [stream]",
            ),
            (ImageEdit, r#"{"model":"m","prompt":"p"}"#, "`image` is missing [image]"),
            (Speech, r#"{"model":"m"}"#, "`input` is missing [input]"),
            (Translation, r#"{"model":"m"}"#, "`file` is missing [file]"),
            (
                Translation,
                r#"{"model":"m","file":"sound"}"#,
                "`file` must be a file, sent as a part of a form with a `filename` [file]",
            ),
        ] {
            assert_eq!(read(operation, body).unwrap_err(), expected, "{body}");
        }
    }

    #[test]
    fn what_was_used_is_read_in_its_kinds() {
        let whole = |operation: Operation, answer: &str| {
            let mut hearing = hearing(operation);
            match hearing.whole(&Bytes::copy_from_slice(answer.as_bytes())) {
                Heard::Error(error) => Err(error),
                _ => Ok(hearing.usage()),
            }
        };
        let heard = r#"{"text":"hi","usage":{"type":"tokens","input_tokens":30,"output_tokens":5,"total_tokens":35,
            "input_token_details":{"text_tokens":10,"audio_tokens":20}}}"#;
        let usage = whole(Operation::Transcription, heard).unwrap().unwrap();
        assert_eq!((usage.input, usage.audio_input, usage.output), (30, 20, 5));
        let seconds = r#"{"text":"hi","usage":{"type":"duration","seconds":3.5}}"#;
        assert_eq!(whole(Operation::Transcription, seconds), Ok(None));
        assert_eq!(
            whole(Operation::Transcription, "1\n00:00:00,000 --> 00:00:01,000\nhi\n"),
            Ok(None)
        );
        let refused = whole(Operation::Image, r#"{"error":{"message":"no"}}"#);
        assert_eq!(refused, Err(r#"{"message":"no"}"#.to_owned()));
        let edited = r#"{"usage":{"input_tokens":30,"output_tokens":50,"total_tokens":80,
            "input_tokens_details":{"text_tokens":10,"image_tokens":20},"output_tokens_details":{"image_tokens":40,"text_tokens":10}}}"#;
        let usage = whole(Operation::ImageEdit, edited).unwrap().unwrap();
        assert_eq!((usage.image_input, usage.output, usage.image_output), (20, 50, 40));
        let mut hearing = hearing(Operation::Image);
        let completed =
            br#"{"type":"image_generation.completed","b64_json":"AA","usage":{"input_tokens":10,"output_tokens":20}}"#;
        for _ in 0..2 {
            assert_eq!(hearing.event(completed), Ok(Heard::Progress));
        }
        let used = hearing
            .usage()
            .map(|usage| (usage.input, usage.output, usage.image_output));
        assert_eq!(used, Some((20, 40, 40)));
        let mut hearing = self::hearing(Operation::Speech);
        assert_eq!(
            hearing.event(br#"{"type":"speech.audio.delta","audio":"AA"}"#),
            Ok(Heard::Progress)
        );
        assert!(!hearing.may_end());
        let done = br#"{"type":"speech.audio.done","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}"#;
        assert_eq!(hearing.event(done), Ok(Heard::Progress));
        assert_eq!((hearing.may_end(), hearing.usage().unwrap().audio_output), (true, 2));
        let error = br#"{"error":{"message":"sorry"}}"#;
        assert_eq!(
            hearing.event(error),
            Ok(Heard::Error(r#"{"message":"sorry"}"#.to_owned()))
        );
    }
}
