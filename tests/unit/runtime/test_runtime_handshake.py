"""The conversation with a container's first process."""

from tiffin.runtime.handshake import Kind, pair


def test_what_a_child_said_is_heard_although_it_ended_with_something_unread() -> None:
    ours, theirs = pair()
    ours.send(Kind.PREPARED)
    theirs.send(Kind.ERROR, "no such sysctl")
    theirs.close()
    heard = ours.receive()
    assert (heard.kind, heard.text) == (Kind.ERROR, "no such sysctl")
    assert ours.receive().kind is Kind.CLOSED
    ours.close()


def test_the_end_without_a_word() -> None:
    ours, theirs = pair()
    ours.send(Kind.START)
    theirs.close()
    assert ours.receive().kind is Kind.CLOSED
    ours.close()
