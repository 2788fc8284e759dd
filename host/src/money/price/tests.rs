//! Costs by hand, and what holds of every price and every usage.

use proptest::prelude::*;

use super::*;

fn usd(text: &str) -> Nanodollars {
    Nanodollars::from_usd(text).unwrap()
}

fn list(input: &str, output: &str) -> PriceList {
    PriceList {
        rates: StatedRates {
            input: usd(input),
            output: usd(output),
            ..StatedRates::default()
        },
        ..PriceList::default()
    }
}

#[test]
fn a_cost_is_the_sum_of_its_kinds_rounded_once() {
    let mut stated = list("0.27", "1.10");
    stated.rates.cached_input = Some(usd("0.07"));
    let usage = Usage {
        input: 1000,
        cache_read: 500,
        output: 200,
        reasoning: 150,
        ..Usage::default()
    };
    let cost = Price::new(&stated).cost(&usage);
    assert_eq!(cost, Nanodollars(270_000 + 35_000 + 220_000));
    let mut tiny = list("0.000000001", "0");
    tiny.rates.cached_input = Some(Nanodollars(1));
    let halves = Usage {
        input: 250_000,
        cache_read: 250_000,
        ..Usage::default()
    };
    assert_eq!(Price::new(&tiny).cost(&halves), Nanodollars(1));
}

#[test]
fn every_kind_of_token_is_billed_at_its_own_rate() {
    let mut stated = list("1", "4");
    stated.rates = StatedRates {
        cached_input: Some(usd("0.1")),
        cache_write: Some(usd("1.25")),
        cache_write_1h: Some(usd("2")),
        reasoning: Some(usd("6")),
        audio_input: Some(usd("10")),
        audio_output: Some(usd("20")),
        image_input: Some(usd("8")),
        image_output: Some(usd("30")),
        characters: Some(usd("15")),
        search: Some(usd("0.002")),
        ..stated.rates
    };
    let usage = Usage {
        input: 30,
        audio_input: 10,
        cache_read: 5,
        cache_write: 7,
        cache_write_1h: 4,
        output: 60,
        reasoning: 20,
        audio_output: 15,
        image_input: 8,
        image_output: 5,
        characters: 100,
        searches: 3,
        service: Service::Ordinary,
    };
    let parts = Price::new(&stated).parts(&usage);
    let expected = Parts {
        input: Nanodollars(12_000),
        audio_input: Nanodollars(100_000),
        image_input: Nanodollars(64_000),
        cached_input: Nanodollars(500),
        cache_write: Nanodollars(3 * 1_250 + 4 * 2_000),
        output: Nanodollars(20 * 4_000),
        reasoning: Nanodollars(120_000),
        audio_output: Nanodollars(300_000),
        image_output: Nanodollars(150_000),
        characters: Nanodollars(1_500_000),
        searches: Nanodollars(6_000_000),
    };
    assert_eq!(parts, expected);
}

#[test]
fn what_a_list_leaves_out_is_never_free() {
    let rates = *Price::new(&list("1", "4")).base();
    assert_eq!((rates.cached_input, rates.cache_write), (usd("1"), usd("1")));
    assert_eq!((rates.cache_write_1h, rates.audio_input), (usd("1"), usd("1")));
    assert_eq!((rates.reasoning, rates.audio_output), (usd("4"), usd("4")));
    assert_eq!((rates.image_input, rates.image_output), (usd("1"), usd("4")));
    let mut dearer = list("1", "4");
    dearer.rates.cache_write = Some(usd("1.25"));
    dearer.rates.audio_input = Some(usd("9"));
    let rates = *Price::new(&dearer).base();
    assert_eq!((rates.cache_write_1h, rates.audio_output), (usd("2"), usd("9")));
}

#[test]
fn a_tier_holds_for_the_whole_of_a_call_that_is_larger_than_its_size() {
    let mut stated = list("1.25", "10");
    stated.rates.cached_input = Some(usd("0.125"));
    let above = StatedRates {
        input: usd("2.5"),
        output: usd("15"),
        ..StatedRates::default()
    };
    stated.tiers = vec![(200_000, above)];
    let price = Price::new(&stated);
    let cost = |input, cache_read| {
        price.cost(&Usage {
            input,
            cache_read,
            output: 1_000,
            ..Usage::default()
        })
    };
    assert_eq!(cost(200_000, 0), usd("0.26"));
    assert_eq!(cost(200_001, 0), Nanodollars(200_001 * 2_500 + 15_000_000));
    // Cached input counts towards the size, and costs there what input does, since the tier does not say.
    assert_eq!(cost(100_001, 100_000), Nanodollars(200_001 * 2_500 + 15_000_000));
}

#[test]
fn a_batch_costs_its_share_and_all_of_it_where_nobody_said() {
    let usage = Usage {
        input: 1_000_001,
        service: Service::Batch,
        ..Usage::default()
    };
    let mut stated = list("0.001", "0");
    assert_eq!(Price::new(&stated).cost(&usage), Nanodollars(1_000_001));
    stated.shares.batch = Some(500);
    assert_eq!(Price::new(&stated).cost(&usage), Nanodollars(500_001));
}

#[test]
fn what_is_served_before_others_costs_its_multiple_and_is_held_at_it() {
    let (input, service) = (1_000_000, Service::Priority);
    let usage = Usage {
        input,
        service,
        ..Usage::default()
    };
    let mut stated = list("1", "0");
    assert_eq!(Price::new(&stated).cost(&usage), usd("1"));
    stated.shares.priority = Some(1_750);
    let price = Price::new(&stated);
    assert_eq!(price.cost(&usage), usd("1.75"));
    let most = |wants_priority| Most {
        input,
        wants_priority,
        ..Most::default()
    };
    assert_eq!(
        (price.dearest(&most(true)), price.dearest(&most(false))),
        (usd("1.75"), usd("1"))
    );
    // Searches are billed each, however the call was served.
    stated.rates.search = Some(usd("0.01"));
    let searching = Usage { searches: 2, ..usage };
    let price = Price::new(&stated);
    assert_eq!(price.cost(&searching), usd("1.77"));
    assert_eq!(price.parts(&searching).searches, usd("0.02"));
    assert_eq!(
        price.dearest(&Most {
            searches: 2,
            ..most(true)
        }),
        usd("1.77")
    );
    stated.rates.search = None;
    // A discount for it is no bound: it may be served as everything else is.
    stated.shares.priority = Some(500);
    assert_eq!(Price::new(&stated).dearest(&most(true)), usd("1"));
}

#[test]
fn a_version_is_that_of_the_rates_and_not_of_how_they_are_written() {
    let plain = Price::new(&list("1", "4"));
    let mut spelled = list("1.00", "4");
    spelled.rates.cached_input = Some(usd("1"));
    assert_eq!(plain.version(), Price::new(&spelled).version());
    assert_eq!(plain.version().to_string(), "02e74be2");
    spelled.tiers = vec![(1, spelled.rates)];
    assert_ne!(plain.version(), Price::new(&spelled).version());
    let mut images = list("1", "4");
    images.rates.image_input = Some(usd("1"));
    assert_eq!(plain.version(), Price::new(&images).version());
    images.rates.image_input = Some(usd("2"));
    assert_ne!(plain.version(), Price::new(&images).version());
    let mut batch = list("1", "4");
    batch.shares.batch = Some(999);
    assert_ne!(plain.version(), Price::new(&batch).version());
    let mut priority = list("1", "4");
    priority.shares.priority = Some(1_000);
    assert_eq!(plain.version(), Price::new(&priority).version());
    priority.shares.priority = Some(2_000);
    assert_ne!(plain.version(), Price::new(&priority).version());
}

fn rate() -> impl Strategy<Value = Nanodollars> {
    prop_oneof![0_u64..100_000_000_000, any::<u64>()].prop_map(Nanodollars)
}

fn rates() -> impl Strategy<Value = StatedRates> {
    let stated = || proptest::option::of(rate());
    let kinds = (
        rate(),
        stated(),
        stated(),
        stated(),
        rate(),
        stated(),
        stated(),
        stated(),
        proptest::array::uniform4(stated()),
    );
    kinds.prop_map(
        |(input, cached_input, cache_write, cache_write_1h, output, reasoning, audio_input, audio_output, more)| {
            let [image_input, image_output, characters, search] = more;
            StatedRates {
                input,
                cached_input,
                cache_write,
                cache_write_1h,
                output,
                reasoning,
                audio_input,
                audio_output,
                image_input,
                image_output,
                characters,
                search,
            }
        },
    )
}

fn price() -> impl Strategy<Value = Price> {
    let tiers = proptest::collection::vec((1_u64..400_000, rates()), 0..4);
    let shares = (
        proptest::option::of(0_u32..=1_000),
        proptest::option::of(0_u32..=10_000),
    );
    (rates(), tiers, shares).prop_map(|(rates, tiers, (batch, priority))| {
        Price::new(&PriceList {
            rates,
            tiers,
            shares: Shares { batch, priority },
        })
    })
}

fn tokens() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..500_000, any::<u64>()]
}

fn usage() -> impl Strategy<Value = Usage> {
    let counts = proptest::array::uniform12(tokens());
    let services = proptest::sample::select(vec![Service::Ordinary, Service::Batch, Service::Priority]);
    (counts, services).prop_map(|(counts, service)| Usage {
        input: counts[0],
        audio_input: counts[1],
        cache_read: counts[2],
        cache_write: counts[3],
        cache_write_1h: counts[4],
        output: counts[5],
        reasoning: counts[6],
        audio_output: counts[7],
        image_input: counts[8],
        image_output: counts[9],
        characters: counts[10],
        searches: counts[11],
        service,
    })
}

/// As [`usage`], with parts that are parts.
fn honest() -> impl Strategy<Value = Usage> {
    usage().prop_map(|usage| {
        let reasoning = usage.reasoning.min(usage.output);
        let (audio_input, spoken) = (
            usage.audio_input.min(usage.input),
            usage.audio_output.min(usage.output - reasoning),
        );
        Usage {
            audio_input,
            image_input: usage.image_input.min(usage.input - audio_input),
            image_output: usage.image_output.min(usage.output - reasoning - spoken),
            cache_write_1h: usage.cache_write_1h.min(usage.cache_write),
            reasoning,
            audio_output: spoken,
            ..usage
        }
    })
}

proptest! {
    #[test]
    fn the_parts_add_up_to_the_cost(price in price(), usage in usage()) {
        prop_assert_eq!(price.parts(&usage).total(), price.cost(&usage));
    }

    #[test]
    fn nothing_costs_more_than_the_dearest(price in price(), usage in usage(), spare in any::<u16>()) {
        // What claims to be sound or an image is billed as such, so the bound is asked for with it.
        let (input, output) = (usage.all_input(), usage.output);
        // A sum that does not fit is no size that a bound could be asked for.
        prop_assume!(input < u64::MAX);
        let most = |has_audio, has_images| price.dearest(&Most {
            input: input.saturating_add(spare.into()),
            output: output.saturating_add(spare.into()),
            characters: usage.characters,
            searches: usage.searches,
            has_audio,
            has_images,
            wants_priority: usage.service == Service::Priority,
        });
        prop_assert!(price.cost(&usage) <= most(true, true));
        let silent = Usage { audio_input: 0, audio_output: 0, ..usage };
        prop_assert!(price.cost(&silent) <= most(false, true));
        let unseen = Usage { image_input: 0, ..silent };
        prop_assert!(price.cost(&unseen) <= most(false, false));
    }

    #[test]
    fn more_tokens_never_cost_less(price in price(), usage in honest(), more in tokens(), kind in 0_usize..4) {
        let mut larger = usage;
        let count = [&mut larger.input, &mut larger.cache_read, &mut larger.cache_write, &mut larger.output];
        for (index, count) in count.into_iter().enumerate() {
            if index == kind {
                *count = count.saturating_add(more);
            }
        }
        // A list whose larger calls are cheaper is possible.
        let crosses = price.tiers().iter().any(|tier| usage.all_input() <= tier.above && larger.all_input() > tier.above);
        prop_assume!(!crosses);
        prop_assert!(price.cost(&usage) <= price.cost(&larger));
    }

    #[test]
    fn a_dearer_tier_never_makes_a_larger_call_cheaper(
        stated in rates(), times in 1_u64..4, usage in honest(), more in tokens(), above in 1_u64..400_000
    ) {
        let scaled = |rate: Nanodollars| Nanodollars(rate.0.saturating_mul(times));
        let dearer = StatedRates { input: scaled(stated.input), output: scaled(stated.output), ..StatedRates::default() };
        let price = Price::new(&PriceList { rates: stated, tiers: vec![(above, dearer)], shares: Shares::default() });
        let larger = Usage { input: usage.input.saturating_add(more), ..usage };
        prop_assert!(price.cost(&usage) <= price.cost(&larger));
    }
}
