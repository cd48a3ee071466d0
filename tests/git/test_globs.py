"""Globs take the files that the GitLab agent took; the tables are those of its own tests."""

import contextlib
import itertools
import re
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.git.errors import BadGlob, LimitExceeded
from reconciler.git.globs import (
    DEFAULT_GLOB,
    MAX_GLOB_LENGTH,
    MAX_WILDCARDS,
    Budget,
    FileLimits,
    TreeFile,
    check_count,
    check_glob,
    compile_glob,
    is_hidden,
    matches,
    select,
)
from tests.fuzzing import examples


def taken(paths: list[str], *globs: str, limits: FileLimits | None = None) -> list[str]:
    """The paths that are selected out of `paths`."""
    tree = [TreeFile(path, "0" * 40) for path in paths]
    chosen = select(tree, [compile_glob(glob) for glob in globs], limits or FileLimits())
    return [file.path for file in chosen.files]


@pytest.mark.parametrize(
    ("glob", "directory", "recursive"),
    [
        ("simple-path/manifest.yaml", "simple-path", False),
        ("", ".", False),
        ("*.yaml", ".", False),
        ("bla/*.yaml", "bla", False),
        ("bla/**/*.yaml", "bla", True),
        ("bla/?aaa/*.yaml", "bla", True),
        ("**/*.yaml", ".", True),
        ("[a-z]*/*.yaml", ".", True),
        ("?bla/*.yaml", ".", True),
        pytest.param("/bla/*.yaml", "bla", False, id="one leading slash is stripped"),
        pytest.param(
            "a/b/c/x{1,2}.yaml", "a/b/c", False, id="the prefix ends before the component with a brace"
        ),
        pytest.param("a/{b/c,d}.yaml", "a", True, id="a slash in braces makes it recursive"),
        pytest.param("a\\*b/c.yaml", ".", True, id="a backslash ends the prefix"),
        pytest.param("a/x].yaml", "a", False, id="a closing bracket is a meta character too"),
        pytest.param("a/**.yaml", "a", True, id="two stars make it recursive wherever they stand"),
    ],
)
def test_directory_that_is_listed(glob: str, directory: str, recursive: bool) -> None:
    compiled = compile_glob(glob)
    assert (compiled.directory, compiled.recursive) == (directory, recursive)


@pytest.mark.parametrize(
    ("glob", "path", "want"),
    [
        *[(DEFAULT_GLOB, f"{d}manifest1.{e}", True) for d in ("", "dir/") for e in ("yaml", "yml", "json")],
        (DEFAULT_GLOB, "manifest1.txt", False),
        (DEFAULT_GLOB, "dir/manifest1.txt", False),
        ("**.yaml", "manifest1.yaml", True),
        ("**.yaml", "dir1/manifest1.yaml", False),
        ("dir2/*.yml", "dir1/manifest1.yaml", False),
        ("**", "manifest1.yaml", True),
        ("**", "dir1/manifest1.yaml", True),
        ("**", ".dir/manifest1.yaml", False),
        ("**", "dir1/.dir2/manifest1.yaml", False),
        pytest.param(".dir/*.yaml", ".dir/manifest1.yaml", False, id="hidden, also when the glob names it"),
        pytest.param("*", ".manifest1.yaml", True, id="a hidden file in a normal directory"),
        pytest.param("**/.*", "dir1/.manifest1.yaml", True, id="a hidden file further down"),
        pytest.param("**", "README.md", True, id="extensions are not looked at"),
        pytest.param("/dir1/*.yaml", "dir1/a.yaml", True, id="leading slash"),
        pytest.param("//dir1/*.yaml", "dir1/a.yaml", False, id="only one leading slash is stripped"),
        pytest.param("*.YAML", "a.yaml", False, id="case sensitive"),
    ],
)
def test_filter(glob: str, path: str, want: bool) -> None:
    assert taken([path], glob) == ([path] if want else [])


MATCHES = [
    ("*", "abc", True),
    ("a*", "ab/c", False),
    ("a*/b", "abc/b", True),
    ("a*/b", "a/c/b", False),
    ("a*b?c*x", "abxbbxdbxebxczzx", True),
    ("a*b?c*x", "abxbbxdbxebxczzy", False),
    ("ab[b-d]", "abc", True),
    ("ab[^e-g]", "abc", True),
    ("ab[^b-d]", "abc", False),
    ("a?b", "a☺b", True),
    ("a???b", "a☺b", False),
    ("a?b", "a/b", False),
    ("a*b", "a/b", False),
    (r"[\]a]", "]", True),
    (r"[x\-]", "-", True),
    (r"[x\-]", "x", True),
    ("a[", "a", False),
    ("a/**", "a", False),
    ("a/**", "a/b", True),
    ("a/**", "a/b/c", True),
    ("**/c", "c", True),
    ("**/c", "b/c", True),
    ("**/c", "a/b/c", True),
    ("**/c", "a/b", False),
    ("**/c", "abcd", False),
    ("**/c", "a/abc", False),
    ("a/**/b", "a/b", True),
    ("a/**/d", "a/b/c/d", True),
    ("abc**", "abc/b", False),
    ("abc/**", "abc/b", True),
    (r"a/\**", "a/b/c", False),
    ("ab{c,d,*}", "abcde", True),
    ("a{,bc}", "a", True),
    ("a{,bc}", "abc", True),
    ("a/{b/c,c/b}", "a/b/c", True),
    ("a/{b/c,c/b}", "a/c/b", True),
    ("{a/{b,c},abc}", "a/b", True),
    ("{a/{b,c},abc}", "a/c", True),
    ("{a/{b,c},abc}", "abc", True),
    ("{a/{b,c},abc}", "a/b/c", False),
    ("a//b/c", "a/b/c", False),
    ("a/b/c", "a/b//c", False),
    pytest.param(r"\{a\,b\}", "{a,b}", True, id="quoted braces"),
    pytest.param("[!a]", "!", True, id="an exclamation mark negates nothing"),
    pytest.param("{1..3}", "2", False, id="no ranges in braces"),
    pytest.param("{a,a/b}", "a", False, id="an alternative that goes on beats one that ends"),
    pytest.param("*{b/c,ab/d}", "ab/d", True, id="the first hit of a star"),
    pytest.param("*{b/c,ab/d}", "ab/c", False, id="later hits of a star are not tried"),
    pytest.param("a*{,b}", "a", False, id="braces after a star do not count as empty"),
    pytest.param("{a/*,x}*/c", "a/b/d/c", True, id="alternatives are text: two stars that meet are a **"),
    pytest.param("**/[", "a", False, id="a bad spot behind a ** is no match"),
    pytest.param("a/**/[-]", "a/b", False, id="a bad class behind a ** is no match"),
    pytest.param("b[", "a", False, id="a bad spot that is not reached"),
    pytest.param("a/**/**/**/b", "a/x/b", True, id="many doublestars"),
    pytest.param("a" + "*" * 50 + "b", "a-b", True, id="many stars are one"),
]


MATCHING = [pattern for pattern, _, want in (getattr(row, "values", row) for row in MATCHES) if want]


@pytest.mark.parametrize(("pattern", "path", "want"), MATCHES)
def test_match(pattern: str, path: str, want: bool) -> None:
    assert matches(compile_glob(pattern), path) is want


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        *[(p, "x") for p in ("[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "\\")],
        ("a[", "ab"),
        ("ab{c,d}[", "abcd"),
        pytest.param("{a,b", "a", id="braces that are not closed"),
        pytest.param("a/[", "a/b", id="in a later component"),
        pytest.param("*{[]}", "b", id="in braces behind a star"),
    ],
)
def test_bad_pattern_is_an_error_where_it_is_reached(pattern: str, path: str) -> None:
    with pytest.raises(BadGlob) as error:
        matches(compile_glob(pattern), path)
    assert error.value.where == f"glob {pattern}"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        pytest.param("a*" * MAX_WILDCARDS + "b", "a" * 255, id="stars"),
        pytest.param("**/" * 90 + "b", "a/" * 200 + "c", id="doublestars"),
        pytest.param("**/a*/" * 50 + "b", "aa/" * 100 + "c", id="doublestars and stars"),
        pytest.param("{a,b}" * MAX_WILDCARDS, "a" * 99, id="braces in a row"),
        pytest.param("{,a}" * MAX_WILDCARDS, "a" * 99 + "b", id="empty alternatives"),
        pytest.param("{a," * MAX_WILDCARDS + "}" * MAX_WILDCARDS, "a" * 99, id="nested braces"),
        pytest.param("{*" * 50 + "}" * 50 + "x", "a" * 200, id="nested braces with stars"),
        pytest.param("{a/a,a}/" * 90 + "b", "a/" * 200 + "c", id="braces with slashes"),
        pytest.param("a/" * 500 + "b", "a/" * 500 + "b", id="deep path"),
    ],
)
def test_hostile_pattern_takes_bounded_time(pattern: str, path: str) -> None:
    began = time.process_time()
    matches(compile_glob(pattern), path)
    assert time.process_time() - began < 5


def test_matching_ends_when_the_budget_is_spent() -> None:
    paths = ["a" * 200 + str(number) for number in range(1000)]
    with pytest.raises(LimitExceeded, match="matching the globs takes too long"):
        take_within(Budget(100_000), "a*" * 50 + "b", paths)


def take_within(budget: Budget, glob: str, paths: list[str]) -> None:
    compiled = compile_glob(glob)
    for path in paths:
        matches(compiled, path, budget)


@pytest.mark.parametrize(
    "pattern", ["a" * (MAX_GLOB_LENGTH + 1), "{" * (MAX_WILDCARDS + 1), "*a" * (MAX_WILDCARDS + 1)]
)
def test_endless_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadGlob):
        compile_glob(pattern)


GLOB_PARTS = st.sampled_from(
    [
        *"ab.*?/{},[]^-\\",
        "/",
        "*",
        "**",
        "***",
        "**/",
        "[a-b]",
        "[^a]",
        "[b-a]",
        "[+-9]",
        "{a,b}",
        "{,a}",
        "{*,b}",
    ]
)
GLOBS = st.lists(GLOB_PARTS, max_size=10).map("".join)
# No tree of git holds "." or "..".
NAMES = st.text("ab.-^,{]\n", min_size=1, max_size=4).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)


NEVER = [
    *[
        "[]a]",
        "[-]",
        "[x-]",
        "[-x]",
        "[a-b-c]",
        "[",
        "[^",
        "[^bc",
        "\\",
        "a[",
        "ab{c,d}[",
        "{a,b",
        "a/[",
        "**/[",
    ],
    *[
        "a/**/[-]",
        "a*[",
        "a?{b",
        "/",
        "//a",
        "a//b",
        "a/",
        "./*.yaml",
        "a/./b",
        "..",
        "../x",
        "a/../b",
        "*/../x",
    ],
]


@pytest.mark.parametrize("glob", NEVER)
def test_glob_that_can_match_nothing_is_told_before_any_file_is_met(glob: str) -> None:
    with pytest.raises(BadGlob, match="no file can match"):
        check_glob(glob)


@pytest.mark.parametrize("glob", [*MATCHING, DEFAULT_GLOB, ".dir/*", "..a", "a/...", "*{[]}"])
def test_glob_that_may_match_passes(glob: str) -> None:
    check_glob(glob)


@examples(300)
@given(GLOBS, PATHS)
def test_glob_that_is_refused_matches_nothing(text: str, path: str) -> None:
    with contextlib.suppress(BadGlob):
        check_glob(text)
        return
    with contextlib.suppress(BadGlob):
        assert not taken([path], text)


def test_file_of_two_globs_counts_once() -> None:
    limits = FileLimits(max_files=2)
    assert taken(["b.yaml", "a.yaml"], "*.yaml", "a*", limits=limits) == ["a.yaml", "b.yaml"]


def test_limit_counts_matched_files_only() -> None:
    paths = [f"{n}.txt" for n in range(100)] + ["a.yaml"]
    assert taken(paths, "*.yaml", limits=FileLimits(max_files=1)) == ["a.yaml"]
    with pytest.raises(LimitExceeded, match="more than 1 files match"):
        taken([*paths, "b.yaml"], "*.yaml", limits=FileLimits(max_files=1))


def test_number_of_globs_is_limited() -> None:
    check_count(["*"] * 100, FileLimits())
    with pytest.raises(LimitExceeded, match="101 globs, the limit is 100"):
        check_count(["*"] * 101, FileLimits())


def test_bad_glob_does_not_meet_files_outside_its_directory() -> None:
    with pytest.raises(BadGlob):
        taken(["b/x", "a/x"], "a/[", "b/*")
    assert taken(["b/x"], "a/[", "b/*") == ["b/x"]


@pytest.mark.parametrize(
    ("path", "want"), [("a", False), (".a", False), (".a/b", True), ("a/.b/c", True), ("a/.b", False)]
)
def test_hidden_is_about_directories(path: str, want: bool) -> None:
    assert is_hidden(path) is want


def test_a_hundred_globs_on_ten_thousand_deep_files_are_within_the_budget() -> None:
    paths = [
        f"area{n % 7}/region{n % 13}/cluster{n % 29}/apps/service{n % 101}/deploy/team{n % 200}-{n}.yaml"
        for n in range(10_000)
    ]
    assert len(taken(paths, *(f"**/team{n}-*.yaml" for n in range(100)))) == 5_000


def test_hostile_globs_on_hostile_files_end_with_the_budget() -> None:
    """Each step of the expressions is counted at its worst, so that no names make them slow."""
    paths = ["a" * 250 + f"/{n}/" + "/".join(["a" * 250] * 5) for n in range(3_000)]
    began = time.process_time()
    with pytest.raises(LimitExceeded, match="matching the globs takes too long"):
        taken(paths, *("**/*" + "a" * 30 + f"b*{n}" for n in range(100)))
    assert time.process_time() - began < 10


# -- regular expressions -----------------------------------------------------------------


@pytest.mark.parametrize(
    "glob",
    [
        *[
            "*",
            "**",
            "a/**",
            "**/a",
            "**/a/**/b",
            "**/**/a",
            "a/*/b",
            "a*b",
            "a*a",
            "ab*ba",
            "a*b*c",
            "*ab*c",
            "a**",
            "**a",
        ],
        *["[+-9]", "a[+-9]b", "[^a]", "a[^b]c", "*[a-b]", "?", "a?", "*?", "?*", "*a", "*ab", "*aab"],
        *["{a,b}", "{a,ab}c", "*{a,b}", "{a*,b}c", "{,a}", "a{,b}", "{,a}{,b}", "{,a}*", "{*,a}", "a/{,b}/c"],
        *["**/{a,b}*.{a,b}", "**/a/b", "**/a/**", "a/b", "a,b", "a}b", "a]b", "a-b", "a^b", "[.]a", "a.b"],
    ],
)
def test_expression_takes_what_the_matcher_takes_of_short_paths(glob: str) -> None:
    compiled = compile_glob(glob)
    assert compiled.expression
    names = ["".join(name) for size in (1, 2, 3) for name in itertools.product("ab.", repeat=size)]
    names += ["a/b", "a,b", "a}b", "a]b", "a-b", "a^b", "abc", "aab", "aaab", "abab", "acb", "bac", "a\nb"]
    paths = names + [f"{one}/{two}" for one in ("a", "b", "ab") for two in names]
    paths += [f"{one}/{two}/{three}" for one in "ab" for two in ("a", "b", "ba") for three in ("a", "b", "c")]
    expression = re.compile(compiled.expression.text)
    assert [p for p in paths if expression.fullmatch(p)] == [p for p in paths if matches(compiled, p)]


@examples(400)
@given(GLOBS, st.lists(PATHS, min_size=1, max_size=4))
def test_expression_takes_what_the_matcher_takes(text: str, paths: list[str]) -> None:
    glob = compile_glob(text)
    assume(glob.expression is not None)
    for path in paths:
        by_expression = re.fullmatch(glob.expression.text, path) is not None if glob.expression else None
        assert by_expression == matches(glob, path), f"{text!r} on {path!r}"


@examples(100)
@given(GLOBS, PATHS)
def test_file_outside_of_the_listed_directory_is_not_taken(text: str, path: str) -> None:
    """An expression does not look where its glob lists: whatever it takes lies there."""
    glob = compile_glob(text)
    assume(glob.expression is not None)
    if taken([path], text):
        below = "" if glob.directory == "." else f"{glob.directory}/"
        assert path.startswith(below)
        assert glob.recursive or "/" not in path[len(below) :]


@pytest.mark.parametrize(
    ("glob", "translated"),
    [
        (DEFAULT_GLOB, True),
        ("**/team1-*.yaml", True),
        ("/apps/*/overlays/{test,live}/**/*.{yaml,yml}", True),
        ("a/**", True),
        ("a?[0-9][^x]*-*.y*ml", True),
        pytest.param("a/{b/c,d}", False, id="a slash in braces"),
        pytest.param("a*{,b}", False, id="a star before what may be empty"),
        pytest.param("a***", False, id="three stars at the end, which are not empty"),
        pytest.param(r"a\*", False, id="quoted"),
        pytest.param("a[", False, id="a bad spot"),
        pytest.param("{a,b}" * 7, False, id="more alternatives than are worth it"),
    ],
)
def test_which_globs_become_expressions(glob: str, translated: bool) -> None:
    assert (compile_glob(glob).expression is not None) is translated


def test_bad_glob_counts_where_no_glob_before_it_took_the_file() -> None:
    assert taken(["a/x"], "**/x", "a/[", "a/*") == ["a/x"]
    with pytest.raises(BadGlob):
        taken(["a/x"], "**/y", "a/[", "a/*")
