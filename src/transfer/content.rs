//! An object's bytes as a plan has them: a header, where it is repeated, and a range of the same file.

use super::source::{Readable, SourceFault};
use crate::plan::PlannedObject;

/// Where an object's bytes lie in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    /// Bytes of the file's beginning that come first.
    header: u64,
    /// Where the others begin.
    offset: u64,
}

impl Content {
    pub(super) const fn of(object: &PlannedObject) -> Self {
        Self {
            header: object.header,
            offset: object.range.offset,
        }
    }

    /// The object's bytes, from 0 on, out of its file.
    pub(super) fn read_from(self, file: Box<dyn Readable>) -> Box<dyn Readable> {
        Box::new(OfFile {
            content: self,
            file,
        })
    }
}

struct OfFile {
    content: Content,
    file: Box<dyn Readable>,
}

impl Readable for OfFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), SourceFault> {
        let Content {
            header,
            offset: begin,
        } = self.content;
        let of_header = header.saturating_sub(offset).min(buffer.len() as u64);
        // At most the buffer's length.
        let (front, rest) = buffer.split_at_mut(usize::try_from(of_header).unwrap_or(0));
        if !front.is_empty() {
            self.file.read_at(front, offset)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.file
            .read_at(rest, begin + (offset + of_header - header))
    }

    fn check(&self) -> Result<(), SourceFault> {
        self.file.check()
    }

    /// As of what comes behind the header, which is nearly all.
    fn position(&self, offset: u64) -> u64 {
        let Content {
            header,
            offset: begin,
        } = self.content;
        begin.wrapping_sub(header).wrapping_add(offset)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn reads_header_and_range_as_one(
            file in proptest::collection::vec(any::<u8>(), 0..60),
            header in 0..60_usize,
            offset in 0..60_usize,
            reads in proptest::collection::vec(1..20_usize, 1..20),
        ) {
            let offset = offset.min(file.len());
            let header = header.min(offset);
            let object = [&file[..header], &file[offset..]].concat();
            let content = Content { header: header as u64, offset: offset as u64 };
            let readable = content.read_from(Box::new(Bytes::from(file)));
            let mut read = 0;
            for len in reads {
                let end = object.len().min(read + len);
                let mut buffer = vec![0; end - read];
                readable.read_at(&mut buffer, read as u64).unwrap();
                prop_assert_eq!(&buffer, &object[read..end]);
                read = end;
            }
            let behind = readable.read_at(&mut [0], object.len() as u64);
            prop_assert!(behind.is_err());
        }
    }
}
