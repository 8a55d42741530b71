use icecore_tsm::{Error, Value, series};

/// A point with a name for everything: measurement, tags, fields, time.
///
/// ```
/// use icecore_database::Point;
///
/// let point = Point::new("weather", 1_700_000_000_000_000_000)
///     .tag("station", "Vostok 3")
///     .field("temperature", -41.5)
///     .field("wind", 12u64)
///     .field("crew", "all well");
/// assert_eq!(point.series_key()?, br"weather,station=Vostok\ 3");
/// # Ok::<(), icecore_tsm::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Point {
    measurement: Vec<u8>,
    tags: Vec<(Vec<u8>, Vec<u8>)>,
    fields: Vec<(Vec<u8>, FieldValue)>,
    time_ns: i64,
}

/// The value of a field, owned.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// Not a NaN: no block can hold one.
    Float(f64),
    /// Signed.
    Integer(i64),
    /// Unsigned.
    Unsigned(u64),
    /// True or false.
    Boolean(bool),
    /// Any bytes, up to 1 MiB.
    String(Vec<u8>),
}

impl Point {
    /// A point of a measurement at a time, nanoseconds since 1970, without fields yet; it needs one.
    pub fn new(measurement: impl Into<Vec<u8>>, time_ns: i64) -> Self {
        Self { measurement: measurement.into(), tags: Vec::new(), fields: Vec::new(), time_ns }
    }

    /// With one more tag. One without a value is none.
    #[must_use]
    pub fn tag(mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// With one more field; of fields of one name the last counts.
    #[must_use]
    pub fn field(mut self, name: impl Into<Vec<u8>>, value: impl Into<FieldValue>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The key under which the point is stored, and read: measurement and tags, escaped, tags sorted.
    ///
    /// # Errors
    /// `Unfit` when a name is empty, a tag is there twice, or a backslash ends a part.
    pub fn series_key(&self) -> Result<Vec<u8>, Error> {
        let tags: Vec<(&[u8], &[u8])> =
            self.tags.iter().map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
        let mut key = Vec::new();
        series::build(&self.measurement, &tags, &mut key)?;
        Ok(key)
    }

    pub(super) fn time_ns(&self) -> i64 {
        self.time_ns
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], Value<'_>)> + Clone {
        self.fields.iter().map(|(name, value)| (name.as_slice(), value.borrow()))
    }
}

impl FieldValue {
    fn borrow(&self) -> Value<'_> {
        match self {
            Self::Float(value) => Value::Float(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Unsigned(value) => Value::Unsigned(*value),
            Self::Boolean(value) => Value::Boolean(*value),
            Self::String(value) => Value::String(value),
        }
    }
}

impl From<f64> for FieldValue {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u64> for FieldValue {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for FieldValue {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}
