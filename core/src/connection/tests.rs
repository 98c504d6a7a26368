use super::*;

#[test]
fn keys_that_begin_again_spare_open_streams_and_the_connections_own_spans() {
    let mut connection =
        Connection::new(Role::Client, Arc::new(Options::default()), "s".into()).unwrap();
    connection.state = State::Open;
    connection.peer = Peer::Always;
    let open = |connection: &mut Connection| connection.plan_call(None, None, 0).unwrap().0.0;
    assert_eq!(open(&mut connection), 2);
    connection.next_key = u32::MAX - 1;
    assert_eq!(open(&mut connection), u32::MAX - 1);
    assert_eq!(
        open(&mut connection),
        3,
        "the highest key is not a stream's, and 2 is open"
    );
    assert_eq!(connection.open_streams(), 3);
}

#[test]
fn a_host_can_ask_whether_there_are_events_before_it_polls_them() {
    let mut connection =
        Connection::new(Role::Client, Arc::new(Options::default()), "s".into()).unwrap();
    assert!(!connection.has_events());
    connection.events.push_back(Event::Ready);
    assert!(connection.has_events());
    assert!(connection.poll_event().is_some());
    assert!(!connection.has_events());
}
