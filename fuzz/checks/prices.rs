//! Prices: a catalog or a list of others is taken whole or refused; what is taken is written and read again without loss; no
//! call costs more than what was held for it, and its parts add up.

use bytes::Bytes;
use pointsman::catalog::{Catalog, Entry, Origin, read_source, write};
use pointsman::money::{Most, Nanodollars, Price, Service, Usage};

pub(super) fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        text.lines().for_each(amount);
        if let Ok(catalog) = Catalog::with(text) {
            for (provider, model) in catalog.list(None) {
                if text.contains(&model) {
                    catalog.find(&provider, &model).iter().for_each(costs);
                }
            }
        }
    }
    let Ok(taken) = read_source(Bytes::copy_from_slice(data)) else {
        return;
    };
    assert!(!taken.models.is_empty());
    let written = write(&Origin::default(), &taken.models);
    let catalog = Catalog::with(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
    for ((provider, model), entry) in &taken.models {
        // The catalog in the binary knows of some what this one leaves open.
        let known = Catalog::default().find(provider, model).unwrap_or_default();
        assert_eq!(
            catalog.find(provider, model),
            Some(entry.clone().or(known)),
            "{written}"
        );
        costs(entry);
    }
}

fn amount(text: &str) {
    if let Ok(amount) = Nanodollars::from_usd(text) {
        assert_eq!(Nanodollars::from_usd(&amount.to_string()), Ok(amount));
    }
}

fn costs(entry: &Entry) {
    let Some(list) = &entry.price else { return };
    let price = Price::new(list);
    assert_eq!(Price::new(list).version(), price.version());
    for (input, output) in [
        (0, 0),
        (1, 1),
        (100_000, 4_096),
        (1_000_000, 1_000_000),
        (u32::MAX.into(), u32::MAX.into()),
    ] {
        let usage = Usage {
            input,
            output,
            ..Usage::default()
        };
        for usage in [
            usage,
            Usage {
                cache_read: input,
                input: 0,
                ..usage
            },
            Usage {
                cache_write: input,
                cache_write_1h: input / 2,
                input: 0,
                ..usage
            },
            Usage {
                reasoning: output,
                audio_input: input,
                ..usage
            },
            Usage {
                audio_output: output,
                image_input: input,
                characters: input,
                ..usage
            },
            Usage {
                image_output: output,
                searches: output,
                service: Service::Priority,
                ..usage
            },
        ] {
            let cost = price.cost(&usage);
            assert_eq!(price.parts(&usage).total(), cost);
            let most = Most {
                input,
                output,
                characters: usage.characters,
                searches: usage.searches,
                has_audio: true,
                has_images: true,
                wants_priority: usage.service == Service::Priority,
            };
            assert!(cost <= price.dearest(&most), "{usage:?} costs more than was held");
        }
    }
}
