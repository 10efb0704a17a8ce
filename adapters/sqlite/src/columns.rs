//! Values as columns hold them, and back.

use std::fmt::Write;
use std::time::Duration;

use bowline_core::hub::{Layout, Message, Quality, RetainHandling};
use bowline_core::varint::leb128;
use bowline_driver::store::Calendar;
use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};

use crate::error::StoreError;

/// A number with all its 64 bits, as SQLite's are signed.
pub(crate) const fn int(number: u64) -> i64 {
    number.cast_signed()
}

/// A duration in whole milliseconds; nothing for one without end.
pub(crate) fn millis(duration: Duration) -> Option<i64> {
    i64::try_from(duration.as_millis()).ok().filter(|_| duration != Duration::MAX)
}

pub(crate) fn duration(millis: Option<i64>) -> Duration {
    millis.map_or(Duration::MAX, |millis| Duration::from_millis(millis.cast_unsigned()))
}

pub(crate) fn retain_handling(number: u8) -> RetainHandling {
    RetainHandling::from_number(number.into()).unwrap_or(RetainHandling::Never)
}

/// Further subscriptions, with commas between; nothing for none.
pub(crate) fn list(others: &[u64]) -> Option<String> {
    let (first, rest) = others.split_first()?;
    let mut text = first.to_string();
    for other in rest {
        // Writing into a text cannot fail.
        let _ = write!(text, ",{other}");
    }
    Some(text)
}

pub(crate) fn listed(text: Option<&str>) -> Result<Box<[u64]>, StoreError> {
    let Some(text) = text else { return Ok(Box::default()) };
    text.split(',')
        .map(|number| number.parse().map_err(|_| damaged(format_args!("deliveries.others: {text}"))))
        .collect()
}

/// A value that no version of this program has written.
pub(crate) fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a value that makes no sense in {what}"))
}

/// What a message's body has in front of its topic if that is nothing but the topic's length.
fn plain_head<'a>(topic: &[u8], memory: &'a mut [u8; leb128::MAX_LEN]) -> &'a [u8] {
    if topic.is_empty() { &[] } else { leb128::encode(topic.len() as u64, memory) }
}

/// The columns of a message that come from its body.
pub(crate) struct Parts<'a> {
    pub(crate) topic: ToSqlOutput<'a>,
    pub(crate) payload: &'a [u8],
    pub(crate) head: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(content: &'a Message) -> Self {
        let layout = content.layout();
        let (start, end) = (layout.topic.start as usize, layout.topic.end as usize);
        let (head, topic) = (&content.body()[..start], &content.body()[start..end]);
        let text = std::str::from_utf8(topic);
        let mut memory = [0; leb128::MAX_LEN];
        Self {
            topic: ToSqlOutput::Borrowed(text.map_or(ValueRef::Blob(topic), |_| ValueRef::Text(topic))),
            payload: content.payload(),
            head: Some(head).filter(|head| *head != plain_head(topic, &mut memory)),
        }
    }
}

/// A message from a row: message, topic, payload, head, has_properties, qos, retain, expires_at.
pub(crate) fn message(row: &Row<'_>, calendar: Calendar) -> Result<Message, StoreError> {
    let (ValueRef::Text(topic) | ValueRef::Blob(topic)) = row.get_ref(1)? else {
        return Err(damaged("messages.topic"));
    };
    let payload = row.get_ref(2)?.as_blob().map_err(|_| damaged("messages.payload"))?;
    let mut memory = [0; leb128::MAX_LEN];
    let head = match row.get_ref(3)? {
        ValueRef::Blob(head) => head,
        ValueRef::Null => plain_head(topic, &mut memory),
        _ => return Err(damaged("messages.head")),
    };
    let mut body = Vec::with_capacity(head.len() + topic.len() + payload.len());
    body.extend_from_slice(head);
    body.extend_from_slice(topic);
    body.extend_from_slice(payload);
    let at = |length: usize| u32::try_from(length).map_err(|_| damaged("messages.payload: its length"));
    let (start, payload_at) = (at(head.len())?, at(head.len() + topic.len())?);
    let layout = Layout { topic: start..payload_at, payload_at, has_props: row.get(4)? };
    let message = Message::from_body(Bytes::from(body), &layout).map_err(|_| damaged("messages.head"))?;
    let message = message.with_quality(Quality::from_number(row.get(5)?)).with_retain(row.get(6)?);
    Ok(match row.get::<_, Option<i64>>(7)? {
        Some(at) => message.with_expiry(calendar.instant(at.cast_unsigned())),
        None => message,
    })
}

/// A text, where the schema allows no other.
pub(crate) fn text(row: &Row<'_>, column: usize) -> Result<Box<str>, StoreError> {
    let value = row.get_ref(column)?;
    value.as_str().map(Box::from).map_err(|_| damaged(format_args!("a text: {:?}", Value::try_from(value))))
}
