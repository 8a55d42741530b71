//! Random batches.

use icecore_testkit::Random;
use icecore_tsm::BlockType;

use crate::model::{FIELDS, Point, SERIES, Val};

/// How a history behaves, chosen once by its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Points are of the first so many series.
    pub(crate) series: usize,
    /// Most times are below this.
    pub(crate) times: usize,
    /// A batch has at most so many points.
    pub(crate) points: usize,
    pub(crate) string_len_max: usize,
    /// One in so many values is of a type that its field mostly has not; 0 for none.
    pub(crate) wrong_type: usize,
    /// Between two flushes a cache takes many writes.
    pub(crate) mostly_writes: bool,
}

impl Manner {
    pub(crate) fn of(random: &mut Random) -> Self {
        let pick = |random: &mut Random, from: &[usize]| from[random.below(from.len())];
        Self {
            series: 1 + random.below(SERIES.len()),
            times: pick(random, &[4, 30, 30, 200]),
            points: pick(random, &[1, 4, 4, 12]),
            string_len_max: pick(random, &[4, 30, 30, 700]),
            wrong_type: pick(random, &[0, 20, 100]),
            mostly_writes: random.one_in(2),
        }
    }

    pub(crate) fn points(&self, random: &mut Random) -> Vec<Point> {
        let mut last = 0;
        let count = 1 + random.below(self.points);
        (0..count)
            .map(|_| {
                let time = match random.below(4) {
                    0 => last,
                    _ => self.time(random),
                };
                last = time;
                self.point(time, random)
            })
            .collect()
    }

    fn point(&self, time: i64, random: &mut Random) -> Point {
        let count = if random.one_in(3) { 1 + random.below(5) } else { 1 };
        let fields = (0..count).map(|_| self.field(random)).collect();
        Point { series: random.below(self.series), time, fields }
    }

    fn field(&self, random: &mut Random) -> (usize, Val) {
        let field = random.below(FIELDS.len());
        let is_wrong = self.wrong_type > 0 && random.one_in(self.wrong_type);
        let kind = if is_wrong { FIELDS[random.below(5)].1 } else { FIELDS[field].1 };
        (field, self.value(kind, random))
    }

    fn value(&self, kind: BlockType, random: &mut Random) -> Val {
        let bits = if random.one_in(3) { random.next_u64() } else { random.below(100) as u64 };
        match kind {
            BlockType::Float if random.one_in(10) => Val::Float(pick(random, &FLOATS).to_bits()),
            BlockType::Float if f64::from_bits(bits).is_nan() => Val::Float(0),
            BlockType::Float => Val::Float(bits),
            BlockType::Integer if random.one_in(10) => {
                Val::Integer(pick(random, &[i64::MIN, i64::MAX, 0, -1]))
            }
            BlockType::Integer => Val::Integer(bits.cast_signed()),
            BlockType::Unsigned if random.one_in(10) => Val::Unsigned(pick(random, &[u64::MAX, 1 << 63, 0])),
            BlockType::Unsigned => Val::Unsigned(bits),
            BlockType::Boolean => Val::Boolean(bits % 2 == 1),
            BlockType::String => {
                let len = random.below(self.string_len_max);
                Val::String(if random.one_in(2) { vec![b'x'; len] } else { random.bytes(len) })
            }
        }
    }

    pub(crate) fn time(&self, random: &mut Random) -> i64 {
        match random.below(30) {
            0 => pick(random, &[i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX]),
            1 => random.next_u64().cast_signed(),
            _ => i64::try_from(random.below(self.times)).unwrap() * 10,
        }
    }
}

const FLOATS: [f64; 6] = [-0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 1.5];

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}
