//! Where a relative lives, or whom they know: two facts that have to be recalled one after the other.

use cruxscope_statistics::SplitMix;
use cruxscope_study::Label;

use super::{Level, Puzzle, shuffle};

/// The relations between people.
pub const RELATIONS: [&str; 3] = ["mother", "friend", "boss"];

/// Invented people, how they relate, and where they live.
#[derive(Clone, Debug)]
pub struct World {
    /// The names of the people.
    pub people: Vec<String>,
    /// The town of each person.
    pub homes: Vec<String>,
    /// For each of the [`RELATIONS`], whom each person has.
    pub related: Vec<Vec<usize>>,
    /// How hard puzzles are in it, those of other kinds too.
    pub level: Level,
}

impl World {
    /// The standard world of a seed: 40 people in 20 towns.
    pub fn new(seed: u64) -> Self {
        Self::of(seed, Level::Standard)
    }

    /// The world of a seed; a hard one has 80 people in 30 towns.
    pub fn of(seed: u64, level: Level) -> Self {
        let (people, towns) = match level {
            Level::Standard => (40, 20),
            Level::Hard => (80, 30),
        };
        let mut generator = SplitMix::new(seed);
        let mut names = Vec::new();
        for first in "BDFKLMPRST".chars() {
            for middle in "aeiou".chars() {
                names.extend("lmnr".chars().map(|last| format!("{first}{middle}{last}")));
            }
        }
        shuffle(&mut names, &mut generator);
        let towns: Vec<String> = names[people..people + towns].iter().map(|name| name.to_lowercase() + "a").collect();
        names.truncate(people);
        let homes = names.iter().map(|_| towns[generator.below(towns.len())].clone()).collect();
        let related = RELATIONS
            .iter()
            .map(|_| {
                (0..names.len())
                    .map(|person| (person + 1 + generator.below(names.len() - 1)) % names.len())
                    .collect()
            })
            .collect();
        Self {
            people: names,
            homes,
            related,
            level,
        }
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

    /// Whom or what a person's relative has in the second relation; a number past the [`RELATIONS`] means homes.
    fn two_hops(&self, person: usize, first: usize, second: usize) -> Puzzle {
        let relative = self.related[first][person];
        let (name, middle, first) = (&self.people[person], &self.people[relative], RELATIONS[first]);
        let (second, object) = self.fact(second, relative);
        let sentences = vec![
            (Label::Initializing, format!("task: {first} then {second}.")),
            (Label::AddingKnowledge, format!("i recall {first} of {name} is {middle}.")),
            (Label::AddingKnowledge, format!("i recall {second} of {middle} is {object}.")),
            (Label::Deduction, format!("so {object}.")),
        ];
        Puzzle::new(format!("{second} of {first} of {name}?"), sentences, object.to_owned())
    }

    /// The name of a relation, homes included, and whom or what a person has in it.
    fn fact(&self, relation: usize, person: usize) -> (&str, &str) {
        match self.related.get(relation) {
            Some(related) => (RELATIONS[relation], &self.people[related[person]]),
            None => ("home", &self.homes[person]),
        }
    }
}

/// A puzzle such as `home of mother of Bal?`, or `boss of friend of Bal?`.
pub fn draw(world: &World, generator: &mut SplitMix) -> Puzzle {
    let person = generator.below(world.people.len());
    let (first, second) = (generator.below(RELATIONS.len()), generator.below(RELATIONS.len() + 1));
    world.two_hops(person, first, second)
}

/// Every question of two hops, in order.
pub fn all(world: &World) -> Vec<Puzzle> {
    let people = 0..world.people.len();
    people
        .flat_map(|person| (0..RELATIONS.len()).map(move |first| (person, first)))
        .flat_map(|(person, first)| (0..=RELATIONS.len()).map(move |second| world.two_hops(person, first, second)))
        .collect()
}
