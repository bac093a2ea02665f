//! Bookmarks: lines of which only the revision changes.
use bytes::{BufMut, Bytes, BytesMut};

/// What a bookmark is around its revision.
#[derive(Debug, Clone)]
pub struct Bookmark {
    /// By the number of the revision's digits, from one on; longer ones take the last form. Text
    /// has one form for all, an encoding with lengths in it has one for each.
    pub forms: Vec<(Bytes, Bytes)>,
}

impl Bookmark {
    pub(crate) fn line(&self, revision: u64) -> Bytes {
        let number = revision.to_string();
        let at = number.len().min(self.forms.len()).saturating_sub(1);
        let Some((before, after)) = self.forms.get(at) else {
            return Bytes::new();
        };
        let mut line = BytesMut::with_capacity(before.len() + number.len() + after.len());
        line.put_slice(before);
        line.put_slice(number.as_bytes());
        line.put_slice(after);
        line.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_number_of_digits() {
        let form = |text: &'static str| (Bytes::from_static(text.as_bytes()), Bytes::from("/"));
        let forms = vec![form("1:"), form("2:"), form("3:")];
        let bookmark = Bookmark { forms };
        let texts: Vec<_> = [7, 42, 500, 12345].map(|n| bookmark.line(n)).to_vec();
        assert_eq!(texts, ["1:7/", "2:42/", "3:500/", "3:12345/"]);
        let text = Bookmark {
            forms: vec![form("<")],
        };
        assert_eq!(text.line(123), "<123/");
    }
}
