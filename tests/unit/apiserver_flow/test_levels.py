"""Seats, queues and hands of priority levels, without time."""

from hypothesis import given
from hypothesis import strategies as st

from cloudwright.apiserver.flow import defaults
from cloudwright.apiserver.flow.levels import LevelSpec, Pool, deal, read


def spec(name, shares, *, queues=8, hand=2, length=3, lendable=0, borrowing=None, exempt=False):
    return LevelSpec(name, f"uid-{name}", exempt, shares, lendable, borrowing, queues, hand, length)


def one_level(seats, **options):
    return Pool([spec("a", 1, **options)], seats).levels["a"]


def test_seats_go_by_shares():
    pool = Pool([read(obj) for obj in defaults.levels()], 600)
    seats = {name: level.seats for name, level in pool.levels.items()}
    assert seats["workload-low"] == 245
    assert seats["catch-all"] == 13
    assert seats["exempt"] == 0
    assert 600 <= sum(seats.values()) < 610


def test_a_full_level_queues_then_rejects():
    level = one_level(2, hand=1)
    assert [level.take() for _ in range(3)] == [True, True, False]
    called = []
    waiting = [level.wait("f", lambda n=n: called.append(n)) for n in range(4)]
    assert [entry is not None for entry in waiting] == [True, True, True, False]
    assert (level.inqueue, level.rejected) == (3, 1)
    level.leave()
    assert called == [0]
    assert not level.take(), "those who wait go first"
    for _ in range(4):
        level.leave()
    assert called == [0, 1, 2]
    assert (level.executing, level.inqueue) == (0, 0)


def test_a_level_without_queues_rejects_at_once():
    level = one_level(1, queues=0, hand=0)
    assert level.take()
    assert level.wait("f", lambda: None) is None


def test_exempt_levels_have_no_end():
    level = one_level(1, exempt=True)
    assert all(level.take() for _ in range(1000))


def test_a_quiet_flow_is_served_between_the_requests_of_a_busy_one():
    level = one_level(1, queues=64, hand=6, length=50)
    assert level.take()
    order = []
    for number in range(200):
        level.wait("busy", lambda n=number: order.append(f"busy-{n}"))
    level.wait("quiet", lambda: order.append("quiet"))
    while level.executing:
        level.leave()
    assert order.index("quiet") < 10
    assert len(order) == 201


def test_who_gives_up_gets_no_seat():
    level = one_level(1)
    assert level.take()
    called = []
    first = level.wait("f", lambda: called.append("first"))
    level.wait("f", lambda: called.append("second"))
    level.give_up(first)
    level.leave()
    assert called == ["second"]
    assert (level.executing, level.inqueue) == (1, 0)


def test_idle_seats_are_lent_and_come_back():
    pool = Pool([spec("rich", 1, lendable=50), spec("poor", 1)], 20)
    rich, poor = pool.levels["rich"], pool.levels["poor"]
    assert sum(poor.take() for _ in range(30)) == 15
    assert sum(rich.take() for _ in range(30)) == 10, "the lender has its own seats at once"
    assert not poor.take()
    called = []
    poor.wait("f", lambda: called.append(1))
    for _ in range(10):
        rich.leave()
    assert called == []
    for _ in range(5):
        poor.leave()
    assert called == [1]


def test_borrowing_has_a_limit():
    pool = Pool([spec("rich", 1, lendable=100), spec("poor", 1, borrowing=20)], 20)
    assert sum(pool.levels["poor"].take() for _ in range(30)) == 12


@given(st.text(max_size=20), st.integers(1, 200), st.integers(1, 12))
def test_a_hand_has_different_cards(flow, queues, hand):
    cards = deal(flow, queues, hand)
    assert len(set(cards)) == len(cards) == min(hand, queues)
    assert all(0 <= card < queues for card in cards)


@given(st.lists(st.tuples(st.sampled_from("wtlg"), st.integers(0, 5)), max_size=200))
def test_seats_are_never_lost(steps):
    level = one_level(3, queues=4, hand=2, length=3)
    waiting, running = [], 0
    for what, flow in steps:
        if what == "t" and level.take():
            running += 1
        elif what == "w" and level.executing >= 3:
            calls = []
            entry = level.wait(str(flow), lambda c=calls: c.append(1))
            if entry is not None:
                waiting.append((entry, calls))
        elif what == "l" and running:
            running -= 1
            level.leave()
        elif what == "g" and waiting:
            entry, calls = waiting.pop(0)
            if not calls:
                level.give_up(entry)
            else:
                running += 1
        started = [pair for pair in waiting if pair[1]]
        running += len(started)
        waiting = [pair for pair in waiting if not pair[1]]
        assert level.executing == running <= 3
        assert level.inqueue == len(waiting)
        assert not waiting or running == 3, "nobody waits beside an empty seat"
