//! libyaml's events, without anything made of them: the baseline of reading.

#![expect(unsafe_code, reason = "libyaml-rs keeps the C library's interface")]

use libyaml_rs::{
    YAML_STREAM_END_EVENT, yaml_event_delete, yaml_event_t, yaml_parser_delete,
    yaml_parser_initialize, yaml_parser_parse, yaml_parser_set_input_string, yaml_parser_t,
};
use std::mem::MaybeUninit;

/// How many events a text has, up to its end or the first error.
pub(crate) fn events(text: &str) -> usize {
    let mut parser = Box::new(MaybeUninit::<yaml_parser_t>::uninit());
    let mut event = MaybeUninit::<yaml_event_t>::uninit();
    let mut count = 0;
    // SAFETY: the parser is initialised before use and deleted once; the text outlives it; each event
    // is filled before it is looked at and deleted before it is filled again.
    unsafe {
        let _ok = yaml_parser_initialize(parser.as_mut_ptr());
        let size = text.len() as u64;
        yaml_parser_set_input_string(parser.as_mut_ptr(), text.as_ptr(), size);
        while yaml_parser_parse(parser.as_mut_ptr(), event.as_mut_ptr()).ok {
            count += 1;
            let end = event.assume_init_ref().type_ == YAML_STREAM_END_EVENT;
            yaml_event_delete(event.as_mut_ptr());
            if end {
                break;
            }
        }
        yaml_parser_delete(parser.as_mut_ptr());
    }
    count
}
