use proptest::prelude::*;

use super::*;

/// Attachments that hold their own number.
fn attachments(count: u8) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from(vec![n])).collect()
}

fn placeholder(num: usize) -> String {
    format!(r#"{{"_placeholder":true,"num":{num}}}"#)
}

#[track_caller]
fn assert_renumbered(args: &str, expected: &str, used: &[u8]) {
    let (text, kept) = renumber(args, &attachments(20)).unwrap();
    assert_eq!(&*text, expected);
    assert_eq!(
        kept,
        used.iter()
            .map(|n| Bytes::from(vec![*n]))
            .collect::<Vec<_>>()
    );
}

#[track_caller]
fn assert_pointer(args: &str, expected: &str) {
    let error = renumber(args, &attachments(2)).unwrap_err();
    let PlaceholderError::Number {
        pointer,
        attachments: 2,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(pointer, expected, "{args}");
}

#[test]
fn numbers_follow_first_use() {
    assert_renumbered(
        r#"{"_placeholder":true,"num":7},[{"a":{"_placeholder":true,"num":2}}],{"_placeholder":true,"num":12}"#,
        r#"{"_placeholder":true,"num":0},[{"a":{"_placeholder":true,"num":1}}],{"_placeholder":true,"num":2}"#,
        &[7, 2, 12],
    );
}

#[test]
fn repeats_share_and_unused_ones_go() {
    let args = [placeholder(3), placeholder(1), placeholder(3)].join(",");
    let expected = [placeholder(0), placeholder(1), placeholder(0)].join(",");
    assert_renumbered(&args, &expected, &[3, 1]);
}

#[test]
fn without_placeholders_nothing_is_left_of_the_list() {
    assert_renumbered("", "", &[]);
    assert_renumbered(
        r#"1,"_placeholder",{"num":5}"#,
        r#"1,"_placeholder",{"num":5}"#,
        &[],
    );
}

#[test]
fn order_of_keys_and_white_space_do_not_matter_and_stay() {
    assert_renumbered(
        "{ \"num\" : 9 ,\n\"_placeholder\"\t: true }",
        "{ \"num\" : 0 ,\n\"_placeholder\"\t: true }",
        &[9],
    );
}

#[test]
fn other_keys_are_allowed_and_stay() {
    assert_renumbered(
        r#"{"_placeholder":true,"num":4,"name":"a","x":[{}]}"#,
        r#"{"_placeholder":true,"num":0,"name":"a","x":[{}]}"#,
        &[4],
    );
}

#[test]
fn only_true_marks_a_placeholder() {
    for other in [
        "false",
        "1",
        "\"true\"",
        "null",
        "[true]",
        "{\"_placeholder\":0}",
    ] {
        let args = format!(r#"{{"_placeholder":{other},"num":99}}"#);
        assert_renumbered(&args, &args, &[]);
    }
    for args in [
        r#"[["_placeholder",true,"num",99]]"#,
        r#"{"a":"_placeholder","b":true,"num":99}"#,
        r#"{"_Placeholder":true,"num":99}"#,
    ] {
        assert_renumbered(args, args, &[]);
    }
}

#[test]
fn the_last_of_repeated_keys_counts() {
    assert_renumbered(
        r#"{"_placeholder":false,"num":99,"_placeholder":true,"num":5}"#,
        r#"{"_placeholder":false,"num":99,"_placeholder":true,"num":0}"#,
        &[5],
    );
    let args = r#"{"_placeholder":true,"num":99,"_placeholder":{}}"#;
    assert_renumbered(args, args, &[]);
}

#[test]
fn keys_may_be_escaped() {
    assert_renumbered(
        r#"{"\u005fplaceholder":true,"n\u0075m":6}"#,
        r#"{"\u005fplaceholder":true,"n\u0075m":0}"#,
        &[6],
    );
}

#[test]
fn text_that_looks_like_a_placeholder_is_text() {
    let args = r#""{\"_placeholder\":true,\"num\":99}","\\",{"k\"":"}"}"#;
    assert_renumbered(args, args, &[]);
}

#[test]
fn a_placeholder_inside_another_is_renumbered_too() {
    assert_renumbered(
        r#"{"_placeholder":true,"num":8,"x":{"_placeholder":true,"num":3}}"#,
        r#"{"_placeholder":true,"num":1,"x":{"_placeholder":true,"num":0}}"#,
        &[3, 8],
    );
}

#[test]
fn all_other_text_stays() {
    let other = r#"{"z":1.0,"a":1e400,"a":12345678901234567890}, "\ud800\u00e9é🦀" ,null"#;
    assert_renumbered(
        &format!("{other},{},{other}", placeholder(11)),
        &format!("{other},{},{other}", placeholder(0)),
        &[11],
    );
}

#[test]
fn numbers_must_be_inside_the_list() {
    for num in [
        "2",
        "-1",
        "-0",
        "1.5",
        "0.0",
        "1e0",
        "\"0\"",
        "null",
        "true",
        "[0]",
        "{\"num\":0}",
        "18446744073709551616",
    ] {
        assert_pointer(&format!(r#"{{"_placeholder":true,"num":{num}}}"#), "/0");
    }
    assert_pointer(r#"{"_placeholder":true}"#, "/0");
}

#[test]
fn pointers_lead_to_the_placeholder() {
    let bad = placeholder(9);
    assert_pointer(&format!("1,[2],[0,{{\"a\":0,\"b\":[{bad}]}}]"), "/2/1/b/0");
    assert_pointer(&format!("{{\"a/b~\":{bad}}}"), "/0/a~1b~0");
    assert_pointer(&format!("{{\"\\u0061\\\"\":{bad}}}"), "/0/a\"");
    assert_pointer(&format!("{{\"\\ud800\":{bad}}}"), "/0/\\ud800");
    assert_pointer(&format!("{{\"a\":1}},{bad}"), "/1");
}

#[test]
fn long_pointers_are_cut() {
    let args = format!("{{\"{}\":{}}}", "é".repeat(1000), placeholder(9));
    let Err(PlaceholderError::Number { pointer, .. }) = renumber(&args, &attachments(1)) else {
        panic!();
    };
    assert!(pointer.len() <= MAX_POINTER + '…'.len_utf8());
    assert!(pointer.ends_with("é…"));
}

#[test]
fn at_most_ten_different_attachments() {
    let args = |count| (0..count).map(placeholder).collect::<Vec<_>>().join(",");
    let ten = args(10);
    assert_eq!(
        renumber(&format!("{ten},{ten}"), &attachments(20))
            .unwrap()
            .1
            .len(),
        10
    );
    assert_eq!(
        renumber(&args(11), &attachments(20)),
        Err(PlaceholderError::TooMany)
    );
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(renumber(&nested(64), &[]).is_ok());
    assert_eq!(renumber(&nested(65), &[]), Err(PlaceholderError::TooDeep));
}

proptest! {
    /// Every placeholder still means its bytes, and nothing else changes.
    #[test]
    fn placeholders_keep_their_bytes(nums in prop::collection::vec(0usize..30, 0..30)) {
        let list = attachments(30);
        let args = nums.iter().map(|num| placeholder(*num)).collect::<Vec<_>>().join(",");
        let mut distinct = nums.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let result = renumber(&args, &list);
        if distinct.len() > MAX_ATTACHMENTS {
            prop_assert_eq!(result, Err(PlaceholderError::TooMany));
        } else {
            let (text, kept) = result.unwrap();
            prop_assert_eq!(kept.len(), distinct.len());
            let new: Vec<serde_json::Value> = serde_json::from_str(&format!("[{text}]")).unwrap();
            let means: Vec<_> = new.iter().map(|p| &kept[usize::try_from(p["num"].as_u64().unwrap()).unwrap()]).collect();
            prop_assert_eq!(means, nums.iter().map(|num| &list[*num]).collect::<Vec<_>>());
            // Once more changes nothing.
            prop_assert_eq!(renumber(&text, &kept), Ok((text.clone(), kept.clone())));
        }
    }

    #[test]
    fn any_text_is_harmless(text in r#"([\[\]{}",:\\ é🦀0]|"_placeholder":true|"num":[0-9]){0,30}"#) {
        if renumber(&text, &attachments(3)).is_ok() {
            prop_assert!(are_below(&text, 3));
        }
    }
}

#[test]
fn shifting_changes_the_numbers_of_placeholders_and_nothing_else() {
    let args = r#"1, {"num":9,"_placeholder":true} ,{"_placeholder":false,"num":0},{"a":[{"_placeholder":true,"num":0}]}"#;
    assert_eq!(
        &*shift(args, 3),
        r#"1, {"num":12,"_placeholder":true} ,{"_placeholder":false,"num":0},{"a":[{"_placeholder":true,"num":3}]}"#
    );
    assert_eq!(
        &*shift(r#"{"_placeholder":true,"num":-1}"#, 3),
        r#"{"_placeholder":true,"num":-1}"#
    );
    assert!(!are_below(args, 0));
    assert!(are_below(r#"{"_placeholder":false,"num":0}"#, 0));
}
