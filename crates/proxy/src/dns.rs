//! Answers DNS questions from the snapshot. Pure: bytes in, bytes or "ask others" out.
use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{DNSClass, RData, Record, RecordType, rdata::A},
};

use crate::table::Table;

const TTL_SECONDS: u32 = 5;
const PAYLOAD: u16 = 1232;

/// What to do with a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Answer(Vec<u8>),
    /// Not ours: to the host's resolvers, where that is allowed.
    Forward,
    /// Not a query; no answer.
    Drop,
}

/// What a name is to us.
#[derive(Debug, PartialEq, Eq)]
enum Name<'a> {
    Addresses(&'a [Ipv4Addr]),
    Unknown,
    Foreign,
}

/// Looks a name (lower case, no trailing dot) up as a pod of `namespace` means it.
fn lookup<'a>(table: &'a Table, name: &str, namespace: &str) -> Name<'a> {
    let ours = name.strip_suffix(".cluster.local");
    let full = ours.is_some() || name == "cluster.local";
    let rest = ours.unwrap_or(name);
    let zone = rest.strip_suffix(".svc");
    let labels: Vec<&str> = zone.unwrap_or(rest).split('.').collect();
    let found = match (full, zone.is_some(), labels.as_slice()) {
        (_, true, [service, space]) | (false, false, [service, space]) => {
            table.addresses(space, service)
        }
        (false, false, [service]) => table.addresses(namespace, service),
        _ => None,
    };
    match found {
        Some(addresses) => Name::Addresses(addresses),
        None if full || zone.is_some() || name == "svc" || labels.len() == 1 => Name::Unknown,
        None => Name::Foreign,
    }
}

/// Decides on one query; `limit` is the transport's length (UDP), `None` for TCP.
#[must_use]
pub fn decide(query: &[u8], table: &Table, namespace: &str, egress: bool, udp: bool) -> Verdict {
    let Ok(request) = Message::from_vec(query) else {
        return Verdict::Drop;
    };
    if request.message_type() != MessageType::Query {
        return Verdict::Drop;
    }
    if request.op_code() != OpCode::Query {
        return answer(&request, ResponseCode::NotImp, &[], udp);
    }
    let [question] = request.queries() else {
        return answer(&request, ResponseCode::FormErr, &[], udp);
    };
    if question.query_class() != DNSClass::IN {
        return answer(&request, ResponseCode::Refused, &[], udp);
    }
    let name = question.name().to_lowercase().to_ascii();
    match lookup(table, name.trim_end_matches('.'), namespace) {
        Name::Addresses(all) => {
            let wanted = matches!(question.query_type(), RecordType::A | RecordType::ANY);
            answer(
                &request,
                ResponseCode::NoError,
                if wanted { all } else { &[] },
                udp,
            )
        }
        Name::Unknown => answer(&request, ResponseCode::NXDomain, &[], udp),
        Name::Foreign if egress => Verdict::Forward,
        Name::Foreign => answer(&request, ResponseCode::NXDomain, &[], udp),
    }
}

fn answer(request: &Message, code: ResponseCode, all: &[Ipv4Addr], udp: bool) -> Verdict {
    let mut response = Message::new();
    response
        .set_id(request.id())
        .set_message_type(MessageType::Response)
        .set_op_code(request.op_code())
        .set_recursion_desired(request.recursion_desired())
        .set_recursion_available(true)
        .set_authoritative(true)
        .set_response_code(code)
        .add_queries(request.queries().iter().cloned());
    if let Some(question) = request.queries().first() {
        for address in all {
            let data = RData::A(A(*address));
            response.add_answer(Record::from_rdata(
                question.name().clone(),
                TTL_SECONDS,
                data,
            ));
        }
    }
    let mut limit = 512;
    if let Some(edns) = request.extensions() {
        limit = usize::from(edns.max_payload().clamp(512, PAYLOAD));
        let mut own = Edns::new();
        own.set_max_payload(PAYLOAD);
        response.set_edns(own);
    }
    match response.to_vec() {
        Ok(bytes) if udp && bytes.len() > limit => cut(response),
        Ok(bytes) => Verdict::Answer(bytes),
        Err(_) => Verdict::Drop,
    }
}

/// An answer too long for UDP: empty and marked, so that the client asks by TCP.
fn cut(mut response: Message) -> Verdict {
    response.take_answers();
    response.set_truncated(true);
    response.to_vec().map_or(Verdict::Drop, Verdict::Answer)
}

#[cfg(test)]
mod tests {
    use hickory_proto::{op::Query, rr::Name as DnsName};
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::{Snapshot, tests::example};

    fn table() -> Table {
        let text = example().to_string();
        let snapshot = Snapshot::parse(text.as_bytes(), "cluster.local").unwrap();
        Table::build(&snapshot, &Table::default(), None)
    }

    fn ask(name: &str, kind: RecordType, egress: bool) -> Option<(ResponseCode, usize)> {
        let mut message = Message::new();
        message
            .set_id(7)
            .add_query(Query::query(DnsName::from_ascii(name).unwrap(), kind));
        match decide(
            &message.to_vec().unwrap(),
            &table(),
            "default",
            egress,
            true,
        ) {
            Verdict::Answer(bytes) => {
                let answer = Message::from_vec(&bytes).unwrap();
                assert_eq!((answer.id(), answer.queries().len()), (7, 1));
                Some((answer.response_code(), answer.answers().len()))
            }
            Verdict::Forward => None,
            Verdict::Drop => panic!("dropped"),
        }
    }

    #[test]
    fn all_forms_of_a_name() {
        for name in [
            "payment.",
            "payment.default.",
            "payment.default.svc.",
            "Payment.Default.svc.cluster.local.",
        ] {
            assert_eq!(
                ask(name, RecordType::A, false),
                Some((ResponseCode::NoError, 1)),
                "{name}"
            );
            assert_eq!(
                ask(name, RecordType::AAAA, false),
                Some((ResponseCode::NoError, 0))
            );
        }
    }

    #[test]
    fn unknown_names_of_our_zones_do_not_exist() {
        for name in [
            "nope.",
            "nope.default.svc.",
            "payment.other.svc.cluster.local.",
            "cluster.local.",
            "payment.cluster.local.",
            "payment.default.default.svc.cluster.local.",
            "svc.",
        ] {
            assert_eq!(
                ask(name, RecordType::A, true),
                Some((ResponseCode::NXDomain, 0)),
                "{name}"
            );
        }
    }

    #[test]
    fn foreign_names_go_out_only_with_egress() {
        assert_eq!(ask("example.com.", RecordType::A, true), None);
        assert_eq!(
            ask("example.com.", RecordType::A, false),
            Some((ResponseCode::NXDomain, 0))
        );
    }

    #[test]
    fn long_answers_are_cut_on_udp_only() {
        let mut value = example();
        value["services"][0]["cluster_ip"] = "".into();
        let one = value["services"][0]["endpoints"][0].clone();
        let many: Vec<_> = (1..100)
            .map(|index| {
                let mut one = one.clone();
                one["ip"] = format!("10.244.0.{index}").into();
                one
            })
            .collect();
        value["services"][0]["endpoints"] = many.into();
        let snapshot = Snapshot::parse(value.to_string().as_bytes(), "cluster.local").unwrap();
        let table = Table::build(&snapshot, &Table::default(), None);
        let mut message = Message::new();
        message.add_query(Query::query(
            DnsName::from_ascii("payment.").unwrap(),
            RecordType::A,
        ));
        for (udp, count) in [(true, 0), (false, 99)] {
            let verdict = decide(&message.to_vec().unwrap(), &table, "default", false, udp);
            let Verdict::Answer(bytes) = verdict else {
                panic!("{verdict:?}")
            };
            let answer = Message::from_vec(&bytes).unwrap();
            assert_eq!((answer.truncated(), answer.answers().len()), (udp, count));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decide(&bytes, &Table::default(), "default", true, true);
        }

        #[test]
        fn any_name_gets_a_verdict(name in "([a-z]{1,8}\\.){0,6}") {
            let name = if name.is_empty() { ".".to_owned() } else { name };
            let got = ask(&name, RecordType::A, false);
            prop_assert!(got.is_some());
        }
    }
}
