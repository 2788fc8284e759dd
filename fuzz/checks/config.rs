//! Configurations: any text is either a configuration or a list of mistakes that has a place for each, the same one every
//! time; and a configuration asks for no restart beside itself.

use pointsman::config::{ConfigError, Source};

pub(super) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A secret's file could be any file of the machine, and one that never ends.
    if text.contains("file:") {
        return;
    }
    let source = Source {
        path: None,
        text: text.to_owned(),
    };
    match (source.load(), source.load()) {
        (Ok(one), Ok(two)) => {
            assert_eq!(one.fixed_settings_changed(&two), Vec::<&str>::new());
            assert!(
                one.models
                    .values()
                    .all(|model| one.providers.contains_key(&model.provider))
            );
        }
        (Err(ConfigError::Mistakes(one, _)), Err(ConfigError::Mistakes(two, _))) => {
            assert_eq!(one, two);
            assert!(!one.is_empty());
            // 0 where it has no place in the file.
            let lines = text.lines().count() + 1;
            for mistake in &one {
                let mistake = mistake.to_string();
                let place: Option<usize> = mistake.split(':').next().and_then(|line| line.parse().ok());
                assert!(place.is_some_and(|line| line <= lines), "{mistake}");
            }
        }
        (one, two) => panic!("once {one:?}, once {two:?}"),
    }
}
