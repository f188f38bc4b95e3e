//! Every claim on constructed studies and results in which it must hold, must fail, and cannot be told.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests, outside their functions

use cruxscope_benchmark::claims::{Bound, Evidence, EvidenceStudy, Role, ledger, load};
use cruxscope_benchmark::published::Published;
use cruxscope_statistics::SplitMix;
use cruxscope_study::{
    Behaviour, ComparedModel, ComparedText, Component, ComponentCompression, CompressionMap, Contributions, Definition, Degradation, Divergence,
    DivergenceFacts, FileDigest, InstanceContribution, InstanceEntry, LedgerEntry, LedgerVerdict, Manifest, ModelEntry, Module, ModuleDimensions, Results,
    Score, ScoredOutput, Study, Validation,
};
use serde_json::json;

const LAYERS: usize = 6;
const COMPONENTS: usize = LAYERS * 7;
const UP: usize = (LAYERS - 1) * 7 + 5;

/// How large a component's contribution is, by behaviour.
type Map<'a> = &'a dyn Fn(Behaviour, Component) -> f64;

/// A study of instances whose contributions are a map and noise.
fn study(name: &str, instances: usize, noise: f64, map: Map<'_>) -> Study {
    let mut random = SplitMix::new(name.len() as u64 + 7);
    let manifest = Manifest {
        title: name.into(),
        definition: Definition::Paper,
        model: ModelEntry {
            name: name.into(),
            architecture: "llama".into(),
            layers: LAYERS,
            modules: vec![ModuleDimensions { outputs: 8, inputs: 8 }; 7],
            basis: "original".into(),
            ..ModelEntry::default()
        },
        instances: (0..instances)
            .map(|id| InstanceEntry {
                id: format!("{id:03}"),
                ..InstanceEntry::default()
            })
            .collect(),
        ..Manifest::default()
    };
    let contributions = (0..instances).map(|_| InstanceContribution {
        values: Behaviour::ALL
            .into_iter()
            .flat_map(|behaviour| Component::all(LAYERS).map(move |component| (behaviour, component)))
            .map(|(behaviour, component)| map(behaviour, component) + noise * (random.share() - 0.5))
            .collect(),
        weights: [1.0; 4],
    });
    let contributions = Contributions {
        instances: contributions.collect(),
    };
    Study::new(manifest, contributions, None).unwrap()
}

fn compressed_by(mut study: Study, rules: serde_json::Value) -> Study {
    study.manifest.model.compression = Some(json!({"recipe": {"rules": rules}}));
    study
}

fn whole(method: &str) -> serde_json::Value {
    json!([{"components": "all", "treatment": {"method": method, "bits": 4}}])
}

fn given(study: Study) -> EvidenceStudy {
    EvidenceStudy {
        place: study.manifest.title.clone(),
        role: Role::Other,
        study,
        validation: None,
        compression: None,
        divergence: None,
    }
}

fn evidence(studies: Vec<EvidenceStudy>) -> Evidence {
    let mut evidence = Evidence { studies, results: vec![] };
    evidence.assign(None, None);
    evidence
}

/// What is said of a claim where there is a number, or of the definition that was given.
fn said(evidence: &Evidence, claim: &str) -> Vec<LedgerEntry> {
    let claims = load().unwrap();
    let ledger = ledger("test", &claims, evidence, None).unwrap();
    ledger.of(claim).filter(|entry| entry.number.is_some()).cloned().collect()
}

fn verdict(evidence: &Evidence, claim: &str) -> LedgerVerdict {
    let found = said(evidence, claim);
    assert!(!found.is_empty(), "{claim} has no number");
    for entry in &found {
        assert_eq!(entry.verdict, found[0].verdict, "{claim}: {found:?}");
    }
    found[0].verdict
}

/// A claim in evidence where it must hold, must fail and cannot be told.
fn three_ways(claim: &str, holds: &Evidence, fails: &Evidence, untold: &Evidence) {
    assert_eq!(verdict(holds, claim), LedgerVerdict::Holds, "{claim}: {:?}", said(holds, claim));
    assert_eq!(verdict(fails, claim), LedgerVerdict::Fails, "{claim}: {:?}", said(fails, claim));
    assert_eq!(verdict(untold, claim), LedgerVerdict::CannotBeTold, "{claim}: {:?}", said(untold, claim));
}

fn peak_at(place: usize) -> impl Fn(Behaviour, Component) -> f64 {
    move |_, component| {
        if component.index() == place {
            20.0
        } else {
            2.0 - component.index() as f64 / 100.0
        }
    }
}

#[test]
fn every_claim_has_tests_and_every_statement_its_numbers() {
    let claims = load().unwrap();
    assert!(claims.len() >= 15 && claims.iter().all(|claim| !claim.tests.is_empty()));
    let published = Published::load().unwrap();
    let ledger = ledger("published", &claims, &Evidence::default(), Some(&published)).unwrap();
    for claim in &claims {
        for statement in &claim.published {
            let subject = format!("published, Table {}: {}", statement.table, statement.words);
            let entry = ledger.of(&claim.claim.id).find(|entry| entry.subject == subject).unwrap();
            assert!(entry.number.is_some(), "{subject} finds its numbers");
            let bounds = [statement.above, statement.below, statement.within].iter().flatten().count();
            assert_eq!(bounds, 1, "{subject}");
        }
        // Without any study every claim says which command would tell it.
        let untold: Vec<&LedgerEntry> = ledger.of(&claim.claim.id).filter(|entry| entry.subject == "nothing given").collect();
        assert!(!untold.is_empty() && untold.iter().all(|entry| !entry.command.is_empty() && !entry.why.is_empty()));
    }
}

#[test]
fn published_differences_have_the_intervals_of_their_questions() {
    let claims = load().unwrap();
    let published = Published::load().unwrap();
    let ledger = ledger("published", &claims, &Evidence::default(), Some(&published)).unwrap();
    let find = |words: &str| ledger.entries.iter().find(|entry| entry.subject.contains(words)).unwrap();
    // 52.57 - 46.0 over 30, 203 and 250 questions: by the normal approximation z is 6.57 / 3.58.
    let headline = find("protection raises the average accuracy");
    assert_eq!((headline.verdict, headline.n), (LedgerVerdict::CannotBeTold, Some(483)));
    assert!((headline.number.unwrap() - 6.57).abs() < 1e-9);
    let [low, high] = headline.interval.unwrap();
    let half = 1.96
        * 100.0
        * f64::sqrt(
            [(0.1, 30.0), (0.596, 203.0), (0.684, 250.0), (0.167, 30.0), (0.67, 203.0), (0.74, 250.0)]
                .iter()
                .map(|(share, n)| share * (1.0 - share) / n / 9.0)
                .sum::<f64>(),
        );
    assert!((low - (6.57 - half)).abs() < 1.0 && (high - (6.57 + half)).abs() < 1.0, "{low} {high} {half}");
    assert_eq!(find("(16.3 points)").verdict, LedgerVerdict::Holds);
    assert_eq!(find("32_up costs more than 1_up").verdict, LedgerVerdict::CannotBeTold);
    assert_eq!(find("(by 23.17 points)").verdict, LedgerVerdict::Holds);
}

#[test]
fn claims_about_important_components() {
    let one = |instances: usize, noise: f64, map: Map<'_>| evidence(vec![given(study("model", instances, noise, map))]);
    // Half of the traces carry all of these components, so that their ranks among five others hang on which traces are drawn.
    let swinging = |carried: std::ops::Range<usize>| {
        let mut swinging = study("model", 12, 0.1, &|_, _| 1.0);
        for (place, instance) in swinging.contributions.instances.iter_mut().enumerate() {
            for first in (0..4).map(|behaviour| behaviour * COMPONENTS) {
                let value = if place % 2 == 0 { 40.0 } else { 0.0 };
                instance.values[first..][carried.clone()].fill(value);
                (0..5).for_each(|other| instance.values[first + other] = 10.0 + 4.0 * other as f64);
            }
        }
        evidence(vec![given(Study::new(swinging.manifest, swinging.contributions, None).unwrap())])
    };
    let (first, other) = (one(20, 0.1, &peak_at(UP)), one(20, 0.1, &peak_at(3)));
    for claim in ["finding-2", "takeaway-4.1", "appendix-J"] {
        three_ways(claim, &first, &other, &swinging(UP..UP + 1));
    }
    let in_layer = |layer: usize| move |_: Behaviour, component: Component| if component.layer.0 == layer { 9.0 } else { 1.0 };
    three_ways(
        "section-4.1-final-layer",
        &one(20, 0.1, &in_layer(LAYERS - 1)),
        &one(20, 0.1, &in_layer(0)),
        &swinging(COMPONENTS - 7..COMPONENTS),
    );
    // As clear as can be, but of too few traces.
    let few = said(&one(4, 0.1, &peak_at(UP)), "finding-2");
    assert_eq!(few[0].verdict, LedgerVerdict::CannotBeTold);
    assert!(few[0].why.contains("needed") && !few[0].command.is_empty());
    // The other definition is asked for.
    let all = ledger("test", &load().unwrap(), &first, None).unwrap();
    let released = all.of("finding-2").find(|entry| entry.definition == Some(Definition::Released)).unwrap();
    assert!(released.verdict == LedgerVerdict::CannotBeTold && released.command.contains("--definition reference"));
}

#[test]
fn claims_about_distillation() {
    let pair = |noise: f64, base: Map<'_>| {
        let high = |_: Behaviour, component: Component| if component.index() < 10 { 9.0 + component.index() as f64 } else { 1.0 };
        evidence(vec![given(study("original", 16, 0.05, &high)), given(study("its base", 16, noise, base))])
    };
    let same = |_: Behaviour, component: Component| if component.index() < 10 { 9.0 + component.index() as f64 } else { 1.0 };
    // The first ten hold 135 / 167 of the original; a base in which they hold 0.36 to 0.44 of it is on either side of a half.
    let half = |_: Behaviour, component: Component| if component.index() < 10 { 2.17 } else { 1.0 };
    three_ways("takeaway-4.3", &pair(0.05, &|_, _| 0.6), &pair(0.05, &same), &pair(2.0, &half));
    let last = |value: f64| move |_: Behaviour, component: Component| if component.index() == UP { value } else { 1.0 };
    three_ways("appendix-K", &pair(0.05, &last(0.1)), &pair(0.05, &last(9.0)), &pair(3.0, &last(1.0)));
}

#[test]
fn claims_about_what_compression_takes() {
    let from = |method: &str, noise: f64, taken: &dyn Fn(Component) -> bool| {
        let flat = |_: Behaviour, _: Component| 1.0;
        let lower = |_: Behaviour, component: Component| if taken(component) { 0.4 } else { 1.0 };
        let compressed = compressed_by(study("compressed", 16, noise, &lower), whole(method));
        evidence(vec![given(study("original", 16, noise / 2.0, &flat)), given(compressed)])
    };
    let final_layer = |component: Component| component.layer.0 == LAYERS - 1;
    let first_layer = |component: Component| component.layer.0 == 0 && component.module != Module::Gate;
    let gate = |component: Component| component.module == Module::Gate;
    let none = |_: Component| false;
    three_ways(
        "finding-3-final-layer",
        &from("awq", 0.01, &final_layer),
        &from("awq", 0.01, &first_layer),
        &from("awq", 2.0, &none),
    );
    three_ways(
        "finding-3-gate",
        &from("gptq", 0.01, &gate),
        &from("gptq", 0.01, &first_layer),
        &from("gptq", 2.0, &none),
    );
    let both = |component: Component| final_layer(component) || gate(component);
    three_ways(
        "appendix-I",
        &from("alpha_pruning", 0.01, &both),
        &from("alpha_pruning", 0.01, &first_layer),
        &from("alpha_pruning", 2.0, &none),
    );
    // Ten components fall: all large changes are decreases. All but ten fall: the large ones are increases.
    three_ways(
        "appendix-H",
        &from("awq", 0.01, &|component| component.index() < 10),
        &from("awq", 0.01, &|component| component.index() >= 10),
        &from("awq", 2.0, &none),
    );
    // What was pruned says nothing of quantization.
    assert!(said(&from("alpha_pruning", 0.01, &both), "finding-3-gate").is_empty());
}

#[test]
fn claims_about_damage_to_single_components() {
    let with = |damage: &dyn Fn(usize) -> f64| {
        let rising = |_: Behaviour, component: Component| 1.0 + component.index() as f64;
        let mut one = given(study("model", 12, 0.01, &rising));
        one.validation = Some(Validation {
            program: String::new(),
            treatment: json!(null),
            data: FileDigest::default(),
            model_files: vec![],
            predictions: 1000,
            perplexity: 2.0,
            run: None,
            components: Component::all(LAYERS)
                .map(|component| Degradation {
                    component: component.to_string(),
                    divergence: damage(component.index()),
                    perplexity: 2.0,
                })
                .collect(),
        });
        evidence(vec![one])
    };
    let mixed = |place: usize| ((place * 7) % 43) as f64;
    three_ways("section-4.2", &with(&|place| place as f64), &with(&|place| 100.0 - place as f64), &with(&mixed));
    let rank = |value: f64| with(&move |place| if place == UP { value } else { place as f64 / 100.0 });
    assert_eq!(verdict(&rank(9.0), "table-3"), LedgerVerdict::Holds);
    assert_eq!(verdict(&rank(-9.0), "table-3"), LedgerVerdict::Fails);
    assert!(said(&evidence(vec![]), "table-3").is_empty());

    let scaled = |own: f64, other: f64| {
        let mut one = given(study("model", 12, 0.01, &|_, _| 1.0));
        one.compression = Some(CompressionMap {
            components: Component::all(LAYERS)
                .map(|component| ComponentCompression {
                    component: component.to_string(),
                    awq_scale: (component.module == Module::Up).then_some(if component.index() == UP { own } else { other + component.layer.0 as f64 }),
                    ..ComponentCompression::default()
                })
                .collect(),
            ..CompressionMap::default()
        });
        evidence(vec![one])
    };
    assert_eq!(verdict(&scaled(9.0, 2.0), "appendix-M"), LedgerVerdict::Holds);
    assert_eq!(verdict(&scaled(1.5, 2.0), "appendix-M"), LedgerVerdict::Fails);
    assert!(said(&scaled(1.0, 2.0), "appendix-M").is_empty(), "a factor of one is no scaling");
}

/// A divergence of a value at every position of some texts, with noise text by text.
fn parted(texts: usize, value: f64, noise: f64, seed: u64) -> Divergence {
    let mut random = SplitMix::new(seed);
    let tokens = 5;
    let kl: Vec<f32> = (0..texts)
        .flat_map(|_| {
            let own = (value * (1.0 + noise * (random.share() - 0.5))) as f32;
            vec![own; tokens - 1]
        })
        .collect();
    let count = kl.len();
    Divergence {
        facts: DivergenceFacts {
            models: [
                ComparedModel {
                    name: "original".into(),
                    files: vec![],
                },
                ComparedModel::default(),
            ],
            texts: (0..texts)
                .map(|id| ComparedText {
                    id: format!("{id}"),
                    tokens,
                    thought: 0,
                    answer: tokens,
                    continuation: None,
                })
                .collect(),
            layers: LAYERS,
            ..DivergenceFacts::default()
        },
        kl,
        rank: vec![1; count],
        choices: [vec![0; count], vec![0; count]],
        losses: [vec![0.0; count], vec![0.0; count]],
        behaviours: vec![0; count],
        ends: vec![0; count],
        shares: vec![],
    }
}

#[test]
fn claims_about_protected_and_single_matrices() {
    let pair = |rules: [serde_json::Value; 2], values: [f64; 2], noise: f64, texts: usize| {
        let studies = rules.into_iter().zip(values).enumerate().map(|(place, (rules, value))| {
            let mut one = given(compressed_by(
                study(if place == 0 { "first" } else { "the second" }, 12, 0.1, &|_, _| 1.0),
                rules,
            ));
            one.divergence = Some(parted(texts, value, noise, place as u64 + 1));
            one
        });
        evidence(studies.collect())
    };
    let awq = json!({"components": "all", "treatment": {"method": "awq", "bits": 3}});
    let table4 = || [json!([awq, {"components": "final-mlp", "treatment": null}]), json!([awq])];
    three_ways(
        "table-4",
        &pair(table4(), [0.5, 1.0], 0.2, 20),
        &pair(table4(), [1.0, 0.5], 0.2, 20),
        &pair(table4(), [1.0, 1.0], 1.5, 20),
    );
    let few = pair(table4(), [0.5, 1.0], 0.2, 3);
    assert_eq!(verdict(&few, "table-4"), LedgerVerdict::CannotBeTold, "three texts are too few");
    let only = |component: Component| json!([{"components": component.to_string(), "treatment": {"method": "rtn", "bits": 4}}]);
    let table9 = || [only(Component::new(LAYERS - 1, Module::Up)), only(Component::new(0, Module::Up))];
    three_ways(
        "table-9",
        &pair(table9(), [1.0, 0.5], 0.2, 20),
        &pair(table9(), [0.5, 1.0], 0.2, 20),
        &pair(table9(), [1.0, 1.0], 1.5, 20),
    );
}

/// Results of a whole and a compressed model on two benchmarks: shares of 100 questions that each answers.
fn scored(compressed: &[(&str, [f64; 2])], whole: [f64; 2]) -> Evidence {
    let score = |compression: &str, benchmark: &str, share: f64| Score {
        model: "Model".into(),
        compression: compression.into(),
        benchmark: benchmark.into(),
        metric: "accuracy".into(),
        unit: "%".into(),
        value: 100.0 * share,
        outputs: (0..100)
            .map(|question| ScoredOutput {
                id: format!("{question:03}"),
                pass: 1,
                score: f64::from(u8::from((question as f64) < 100.0 * share)),
                length: Some(1 + question),
                parsed: true,
                ended: true,
            })
            .collect(),
        ..Score::default()
    };
    let mut scores = Vec::new();
    for (compression, shares) in [("", whole)].iter().chain(compressed) {
        for (benchmark, share) in ["Facts", "Deduction"].into_iter().zip(shares) {
            scores.push(score(compression, benchmark, *share));
        }
    }
    Evidence {
        studies: vec![],
        results: vec![Results { scores, ..Results::default() }],
    }
}

#[test]
fn claims_about_benchmarks() {
    let pruned = |facts: f64, deduction: f64| scored(&[("SparseGPT, 50 %", [facts, deduction])], [0.9, 0.9]);
    three_ways("finding-1", &pruned(0.3, 0.85), &pruned(0.85, 0.3), &pruned(0.7, 0.69));
    assert_eq!(
        verdict(&pruned(0.9, 0.9), "finding-1"),
        LedgerVerdict::CannotBeTold,
        "where nothing is lost nothing can be told"
    );
    let bits = |four: f64, two: f64| scored(&[("RTN, 4 bits", [four, four]), ("RTN, 2 bits", [two, two])], [0.9, 0.9]);
    three_ways("takeaway-3.1", &bits(0.9, 0.4), &bits(0.4, 0.9), &bits(0.9, 0.9));
    // Facts are the harder benchmark here.
    let harder = |facts: f64, deduction: f64| scored(&[("SparseGPT, 50 %", [facts, deduction])], [0.5, 0.9]);
    three_ways("takeaway-3.2", &harder(0.05, 0.88), &harder(0.5, 0.2), &harder(0.4, 0.72));
    // The first questions are right and short.
    three_ways(
        "appendix-O",
        &scored(&[], [0.5, 0.5]),
        &turned(scored(&[], [0.5, 0.5])),
        &scored(&[], [0.98, 0.98]),
    );
}

/// Lengths the other way round.
fn turned(mut evidence: Evidence) -> Evidence {
    for output in evidence
        .results
        .iter_mut()
        .flat_map(|results| &mut results.scores)
        .flat_map(|score| &mut score.outputs)
    {
        output.length = output.length.map(|length| 200 - length);
    }
    evidence
}

#[test]
fn a_bound_is_said_in_words() {
    assert_eq!(Bound::AtMost(3.0).words(), "at most 3");
}
