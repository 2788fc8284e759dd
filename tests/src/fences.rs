//! The blocks of code in a page of Markdown, so that tests run what readers paste.

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The line on which it is opened, from 1.
    pub line: usize,
    /// What is in it, without the indentation of the block itself.
    pub text: String,
}

/// All blocks of a page in this language, `toml` say.
pub fn fences(page: &str, language: &str) -> Vec<Fence> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some((indent, opened)) = line.split_once("```") else {
            continue;
        };
        if !indent.trim().is_empty() {
            continue;
        }
        let mut text = String::new();
        for (_, line) in lines.by_ref().take_while(|(_, line)| line.trim() != "```") {
            text.push_str(line.strip_prefix(indent).unwrap_or(line));
            text.push('\n');
        }
        if opened.trim() == language {
            found.push(Fence { line: index + 1, text });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_by_language_also_when_indented() {
        let page = "a\n```toml\nx = 1\n```\n- item\n\n  ```toml\n  [y]\n    z = 2\n  ```\n```text\n```toml is not opened\n```\n";
        let found = fences(page, "toml");
        let expected = [(2, "x = 1\n"), (7, "[y]\n  z = 2\n")];
        assert_eq!(
            found.iter().map(|f| (f.line, f.text.as_str())).collect::<Vec<_>>(),
            expected
        );
    }
}
