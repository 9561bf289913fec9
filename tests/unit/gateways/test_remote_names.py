import pytest

from gateways.remote_names import NAME_MAX_BYTES, RemoteNameRefused, check_path, name_refusal, shown


@pytest.mark.parametrize(
    "name",
    [
        "portfolio.csv",
        'it\'s "quoted" $(x).csv',
        "a..b.csv",
        "Übersicht März 漢字.csv",
        "🙂.csv",
        " .csv",
        "-rf.csv",
        "=1+1.csv",
    ],
)
def test_odd_but_honest_names_are_taken(name: str) -> None:
    assert name_refusal(name) is None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("..", "not the name of a file"),
        (".", "not the name of a file"),
        ("", "not the name of a file"),
        ("a/b.csv", "path separator"),
        ("..\\b.csv", "path separator"),
        ("a\nb.csv", "control characters"),
        ("a\x00.csv", "control characters"),
        ("a\x1b[31m.csv", "control characters"),
        ("a\u2028b.csv", "control characters"),
        (b"caf\xe9.csv".decode(errors="surrogateescape"), "not UTF-8"),
        ("vsc.\u202egpj.csv", "reading direction"),
        ("é" * (NAME_MAX_BYTES // 2) + "x", "longer than 200 bytes"),
    ],
)
def test_dangerous_names_are_refused_with_the_reason(name: str, reason: str) -> None:
    assert reason in (name_refusal(name) or "accepted")


@pytest.mark.parametrize(
    "path", ["/inbox/a.csv", "inbox/a.csv", "./inbox//a.csv", "/", ".", f"/inbox/{'x' * 250}"]
)
def test_plain_paths_pass(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["", "/inbox/../../etc/passwd", "..", "/in\nbox", "a\\b", "/inbox/\udce9"])
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(RemoteNameRefused) as caught:
        check_path(path)
    assert str(caught.value).isprintable()


def test_names_are_shown_escaped_and_cut() -> None:
    assert shown("a\n\x1b\udce9\u202e.csv") == r"a\n\x1b\udce9\u202e.csv"
    assert shown("x" * 500) == "x" * 119 + "…"
