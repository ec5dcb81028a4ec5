"""Table, JSON and plot that every benchmark writes."""

import json

from benchmarks.report import Report, make_parser


def draw(figure, rows):
    figure.subplots().plot([row["epoch_ms"] for row in rows])


def test_table_json_and_plot(tmp_path, capsys):
    parser = make_parser("some", "What it does.")
    out, picture = tmp_path / "rows.json", tmp_path / "plot.png"
    report = Report("some", {"method": "<8", "ranks": ">5", "epoch_ms": ">8.1f", "error": ">6.1%"})
    report.add({"method": "ours", "ranks": 2, "epoch_ms": 1234.56, "error": 0.0789, "extra": 7})
    report.add({"method": "theirs", "ranks": 16, "epoch_ms": 0.04, "error": None})
    report.results["ratio"] = 1.23456
    report.finish(parser.parse_args(["--json", str(out), "--plot", str(picture)]), draw)
    assert capsys.readouterr().out == (
        "method    ranks  epoch_ms   error\n"
        "ours          2    1234.6    7.9%\n"
        "theirs       16       0.0       –\n"
        "ratio: 1.23\n"
    )
    content = json.loads(out.read_text())
    assert content["benchmark"] == "some"
    assert content["rows"] == report.rows
    assert content["rows"][0]["extra"] == 7
    assert content["results"] == {"ratio": 1.23456}
    assert content["machine"]["cores"] >= 1
    assert "jax" in content["versions"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_tables_and_an_unfinished_report(tmp_path, capsys):
    out = tmp_path / "rows.json"
    arguments = make_parser("some", None).parse_args(["--json", str(out)])
    report = Report("some", {"a": ">3"})
    report.add({"a": 1})
    report.save(arguments)
    assert json.loads(out.read_text())["rows"] == [{"a": 1}]
    report.begin({"b": ">4.1f"})
    report.add({"b": 2.0})
    report.save(arguments)
    assert json.loads(out.read_text())["rows"] == [{"a": 1}, {"b": 2.0}]
    assert capsys.readouterr().out == "  a\n  1\n   b\n 2.0\n"
    assert list(tmp_path.iterdir()) == [out]


def test_no_files_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Report("some", {"a": ">3"}).finish(make_parser("some", None).parse_args([]), draw)
    assert list(tmp_path.iterdir()) == []
