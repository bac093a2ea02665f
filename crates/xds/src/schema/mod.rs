//! What this client does with each field of Envoy's messages: uses it, ignores it, or refuses it.
//!
//! The tables are complete for the messages that are walked, so nothing is skipped unseen: an ignored
//! field becomes a warning, a refused one refuses the update. A field that is newer than the tables is
//! refused in `strict` messages (they say who may, and which request is meant), else it is a warning.
//! `tests/unit/xds` compares the tables with the published descriptors.
use serde::Serialize;

pub mod cluster;
pub mod core;
pub mod listener;
pub mod route;
pub mod tls;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Treatment {
    Used,
    /// A warning in the status; the rest of the resource is used.
    Ignored,
    /// The update is refused: without the field the resource would mean something else.
    Refused,
}

/// One field of a message.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Field {
    pub number: u32,
    pub name: &'static str,
    pub treatment: Treatment,
}

/// One message and its fields.
#[derive(Debug, Serialize)]
pub struct Message {
    /// The full name, which ends the type URL.
    pub name: &'static str,
    /// Fields that the table does not know are refused.
    pub strict: bool,
    pub fields: &'static [Field],
}

impl Message {
    /// The field with this number.
    #[must_use]
    pub fn field(&self, number: u32) -> Option<&'static Field> {
        self.fields.iter().find(|one| one.number == number)
    }
}

/// Every table.
pub fn all() -> impl Iterator<Item = &'static Message> {
    [core::ALL, listener::ALL, route::ALL, cluster::ALL, tls::ALL]
        .into_iter()
        .flatten()
        .copied()
}

macro_rules! message {
    (strict $id:ident = $full:literal { $($body:tt)* }) => {
        $crate::schema::message!(@ true, $id = $full { $($body)* });
    };
    ($id:ident = $full:literal { $($body:tt)* }) => {
        $crate::schema::message!(@ false, $id = $full { $($body)* });
    };
    (@ $strict:literal, $id:ident = $full:literal {
        $(used: $($used:literal $used_name:ident),+;)?
        $(ignored: $($ignored:literal $ignored_name:ident),+;)?
        $(refused: $($refused:literal $refused_name:ident),+;)?
    }) => {
        #[doc = concat!("`", $full, "`.")]
        pub static $id: $crate::schema::Message = $crate::schema::Message {
            name: $full,
            strict: $strict,
            fields: &[
                $($($crate::schema::Field {
                    number: $used,
                    name: stringify!($used_name),
                    treatment: $crate::schema::Treatment::Used,
                },)+)?
                $($($crate::schema::Field {
                    number: $ignored,
                    name: stringify!($ignored_name),
                    treatment: $crate::schema::Treatment::Ignored,
                },)+)?
                $($($crate::schema::Field {
                    number: $refused,
                    name: stringify!($refused_name),
                    treatment: $crate::schema::Treatment::Refused,
                },)+)?
            ],
        };
    };
}
pub(crate) use message;
