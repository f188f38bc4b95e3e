//! Where a relative lives: two facts that have to be recalled one after the other.

use cruxscope_study::{Label, SplitMix};

use super::{Puzzle, shuffle};

/// The relations between people.
pub const RELATIONS: [&str; 2] = ["mother", "friend"];

/// Invented people, how they relate, and where they live.
#[derive(Clone, Debug)]
pub struct World {
    /// The names of the people.
    pub people: Vec<String>,
    /// The town of each person.
    pub homes: Vec<String>,
    /// For each of the [`RELATIONS`], whom each person has.
    pub related: Vec<Vec<usize>>,
}

impl World {
    /// The world of a seed: 40 people in 20 towns.
    pub fn new(seed: u64) -> Self {
        let mut generator = SplitMix::new(seed);
        let mut names = Vec::new();
        for first in "BDFKLMPRST".chars() {
            for middle in "aeiou".chars() {
                names.extend("lmnr".chars().map(|last| format!("{first}{middle}{last}")));
            }
        }
        shuffle(&mut names, &mut generator);
        let towns: Vec<String> = names[40..60].iter().map(|name| name.to_lowercase() + "a").collect();
        names.truncate(40);
        let homes = names.iter().map(|_| towns[generator.below(towns.len())].clone()).collect();
        let related = RELATIONS
            .iter()
            .map(|_| {
                (0..names.len())
                    .map(|person| (person + 1 + generator.below(names.len() - 1)) % names.len())
                    .collect()
            })
            .collect();
        Self { people: names, homes, related }
    }

    /// A single fact as a puzzle of its own; none is ever held out.
    pub fn single(&self, generator: &mut SplitMix) -> Puzzle {
        let person = generator.below(self.people.len());
        let (relation, object) = self.fact(generator.below(RELATIONS.len() + 1), person);
        let name = &self.people[person];
        let sentences = vec![
            (Label::AddingKnowledge, format!("i recall {relation} of {name} is {object}.")),
            (Label::Deduction, format!("so {object}.")),
        ];
        Puzzle::new(format!("{relation} of {name}?"), sentences, object.to_owned())
    }

    /// A single fact as a sentence, its end included.
    pub fn sentence(&self, generator: &mut SplitMix) -> String {
        let person = generator.below(self.people.len());
        let (relation, object) = self.fact(generator.below(RELATIONS.len() + 1), person);
        format!("{relation} of {} is {object}.\n", self.people[person])
    }

    /// The name of a relation, homes included, and whom or what a person has in it.
    fn fact(&self, relation: usize, person: usize) -> (&str, &str) {
        match self.related.get(relation) {
            Some(related) => (RELATIONS[relation], &self.people[related[person]]),
            None => ("home", &self.homes[person]),
        }
    }
}

/// A puzzle such as `home of mother of Bal?`.
pub fn draw(world: &World, generator: &mut SplitMix) -> Puzzle {
    let person = generator.below(world.people.len());
    let relation = generator.below(RELATIONS.len());
    let relative = world.related[relation][person];
    let (name, middle, home) = (&world.people[person], &world.people[relative], &world.homes[relative]);
    let relation = RELATIONS[relation];
    let sentences = vec![
        (Label::Initializing, format!("task: {relation} then home.")),
        (Label::AddingKnowledge, format!("i recall {relation} of {name} is {middle}.")),
        (Label::AddingKnowledge, format!("i recall home of {middle} is {home}.")),
        (Label::Deduction, format!("so {home}.")),
    ];
    Puzzle::new(format!("home of {relation} of {name}?"), sentences, home.clone())
}
