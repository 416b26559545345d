"""Redaction: secrets go, by key or by the look of them; what only resembles a secret stays."""

from __future__ import annotations

import pickle
import re
import string
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.redaction import REDACTED, Redactor, redactor_from


redactor = Redactor()

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

# One name for each shape, the text as it is met, and what is left of it.
SHAPES = {
    "OpenAI key": ("sk-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKL", "[redacted]"),
    "OpenAI project key": ("using sk-proj-abcdefghijklmnop_qrst-uvwx now", "using [redacted] now"),
    "Anthropic key": ("sk-ant-api03-AbCdEf-gh_ijKLmnopQRST", "[redacted]"),
    "AWS access key id": ("id AKIAIOSFODNN7EXAMPLE.", "id [redacted]."),
    "AWS temporary key id": ("ASIAQWERTYUIOPASDFGH", "[redacted]"),
    "AWS secret, by key": ("aws_secret_access_key=wJalrXUtnFEMI/K7MDENG/bPx", "aws_secret_access_key=[redacted]"),
    "AWS secret, alone": ("is wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY ok", "is [redacted] ok"),
    "GitHub personal token": ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
    "GitHub OAuth token": ("gho_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
    "GitHub fine-grained token": ("github_pat_11ABCDEFG0abcdefghij_klmnopqrst", "[redacted]"),
    "GitLab token": ("glpat-abcdefghij0123456789", "[redacted]"),
    "Hugging Face token": ("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "[redacted]"),
    "Slack token": ("xoxb-123456789012-abcdefghijkl", "[redacted]"),
    "Slack webhook": ("https://hooks.slack.com/services/T00/B00/XXXX", "https://[redacted]"),
    "Google key": ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[redacted]"),
    "Stripe key": ("sk_live_abcdefghijklmnopqrstuvwx", "[redacted]"),
    "npm token": ("npm_abcdefghijklmnopqrstuvwxyz0123456789", "[redacted]"),
    "PyPI token": ("pypi-AgEIcHlwaS5vcmcCJGFiY2RlZg", "[redacted]"),
    "Databricks token": ("dapi0123456789abcdef0123456789abcdef", "[redacted]"),
    "web token": (f"got {JWT}, thanks", "got [redacted], thanks"),
    "bearer": ("sent Bearer abcdefghij0123456789", "sent Bearer [redacted]"),
    "bearer header": ("Authorization: Bearer abc", "Authorization: [redacted]"),
    "basic header": ("Authorization: Basic dXNlcjpwYXNz\r\nHost: x", "Authorization: [redacted]\r\nHost: x"),
    "basic": ("Basic dXNlcjpwYXNzd29yZA==", "Basic [redacted]"),
    "headers as printed": ("{'Authorization': 'Basic dXNlcg'}", "{'Authorization': '[redacted]'}"),
    "signature header": ("Authorization: AWS4-HMAC-SHA256 Credential=A, Signature=B", "Authorization: [redacted]"),
    "cookie header": ("Cookie: sid=abc; theme=dark\nHost: x", "Cookie: [redacted]\nHost: x"),
    "set-cookie header": ("set-cookie: sid=abc; Path=/", "set-cookie: [redacted]"),
    "database URL": (
        "postgres://user:hunter2@db.example.com:5432/app",
        "postgres://user:[redacted]@db.example.com:5432/app",
    ),
    "URL without user": ("redis://:hunter2@localhost:6379/0", "redis://:[redacted]@localhost:6379/0"),
    "password with @": ("mysql+pymysql://u:p@ss@h/db", "mysql+pymysql://u:[redacted]@h/db"),
    "query api_key": ("https://x.io/v1?api_key=SEKRET&page=1", "https://x.io/v1?api_key=[redacted]&page=1"),
    "query token": ("GET /v1?page=1&token=SEKRET HTTP/1.1", "GET /v1?page=1&token=[redacted] HTTP/1.1"),
    "query signature": ("https://x.io/blob?sv=2020&sig=AbC%2F1&se=2", "https://x.io/blob?sv=2020&sig=[redacted]&se=2"),
    "flag with =": ("run.py --token=SEKRET --rate 1", "run.py --token=[redacted] --rate 1"),
    "flag with space": ("run.py --api-key SEKRET --rate 1", "run.py --api-key [redacted] --rate 1"),
    "flag in a printed list": (
        "['run.py', '--api-key', 'SEKRET', '-v']",
        "['run.py', '--api-key', '[redacted]', '-v']",
    ),
    "private key block": (f"before\n{PEM}\nafter", "before\n[redacted]\nafter"),
    "private key, cut off": ("-----BEGIN PRIVATE KEY-----\nMIIEow\nIBA… [cut: 9 characters]", "[redacted]"),
    "private key in JSON": (PEM.replace("\n", "\\n"), "[redacted]"),
    "password=": ("login with user=jane password=hunter2, ok", "login with user=jane password=[redacted], ok"),
    "password:": ("password: hunter2", "password: [redacted]"),
    "quoted password": ("Password = 'it is \\' secret'", "Password = '[redacted]'"),
    "JSON": ('{"password": "hunter \\" two", "n": 1}', '{"password": "[redacted]", "n": 1}'),
    "JSON in JSON": (r"{\"password\": \"hunter2\", \"n\": 1}", r"{\"password\": \"[redacted]\", \"n\": 1}"),
    "environment": ("export HF_TOKEN=abcdef", "export HF_TOKEN=[redacted]"),
    "connection string": ("Server=db;Uid=sa;Pwd=abc;Timeout=3", "Server=db;Uid=sa;Pwd=[redacted];Timeout=3"),
    "storage account": ("AccountName=a;AccountKey=abc/d==;X=y", "AccountName=a;AccountKey=[redacted];X=y"),
    "key in words": ("your API key: abcd1234 is wrong", "your API key: [redacted] is wrong"),
    "nested assignment": ("args=--token=SEKRET", "args=--token=[redacted]"),
    "printed list": ("{'passwords': ['a', \"b]\"], 'n': 1}", "{'passwords': '[redacted]', 'n': 1}"),
    "printed mapping": ('{"session": {"id": "x", "age": 5}, "n": 1}', '{"session": "[redacted]", "n": 1}'),
    "printed in JSON": (r"{\"api_keys\": [\"a\"], \"n\": 1}", r"{\"api_keys\": \"[redacted]\", \"n\": 1}"),
    "printed numbers": ("pins: secret=[12, 34] ok", 'pins: secret="[redacted]" ok'),
    "printed header": ("[(b'cookie', b'sid=x'), ('host', 'h')]", "[(b'cookie', b'[redacted]'), ('host', 'h')]"),
    "Replicate token": (f"r8_{'Ab3' * 12}", "[redacted]"),
    "NVIDIA key": (f"nvapi-{'Ab3-' * 12}", "[redacted]"),
    "Perplexity key": (f"pplx-{'Ab3' * 12}", "[redacted]"),
    "DigitalOcean token": (f"dop_v1_{'ab3' * 20}", "[redacted]"),
    "Shopify token": (f"shpat_{'ab3' * 11}", "[redacted]"),
    "Docker token": (f"dckr_pat_{'Ab3' * 9}", "[redacted]"),
    "Grafana token": (f"glsa_{'Ab3' * 9}_0123abcd", "[redacted]"),
    "Atlassian token": (f"ATATT3xFfGF0{'Ab3' * 9}=", "[redacted]"),
    "Figma token": (f"figd_{'Ab3' * 9}", "[redacted]"),
    "Notion token": (f"ntn_{'Ab3' * 9}", "[redacted]"),
    "Supabase token": (f"sbp_{'ab3' * 13}", "[redacted]"),
    "New Relic key": (f"NRAK-{'AB3' * 9}", "[redacted]"),
    "Postman key": (f"PMAK-{'ab3' * 8}-{'ab3' * 11}", "[redacted]"),
    "Linear key": (f"lin_api_{'Ab3' * 13}", "[redacted]"),
    "Square token": (f"sq0atp-{'Ab3' * 7}", "[redacted]"),
    "Fireworks key": (f"fw_{'Ab3' * 8}", "[redacted]"),
    "ElevenLabs key": (f"sk_{'ab3' * 16}", "[redacted]"),
    "Doppler token": (f"dp.pt.{'Ab3' * 14}", "[redacted]"),
    "age key": (f"AGE-SECRET-KEY-1{'AB3' * 19}", "[redacted]"),
    "card": ("card 4111111111111111, thanks", "card [redacted], thanks"),
    "card in groups": ("4111 1111 1111 1111", "[redacted]"),
    "card of 15": ("3782-822463-10005", "[redacted]"),
    "social security number": ("ssn 123-45-6789.", "ssn [redacted]."),
    "mail address": ("ask jane.doe+x@mail.example.co.uk.", "ask [redacted]."),
}

HARMLESS = [
    *("session_length=30", "the secretary said", "an authentic one", "a chocolate cookie recipe: mix the flour"),
    *("the csrf chapter", "input_tokens=5", "token_count: 12", "total_tokens=100, max_tokens=256", "tokenizer='bpe'"),
    *("a passwordless login", "the skeleton-key text", "monkey on a keyboard", "author: Jane Austen"),
    "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "550e8400-e29b-41d4-a716-446655440000",
    "/usr/local/share/models/llama/checkpoints/last/weights.safetensors",
    *("task-1234567890abcdef", "disk-usage-of-the-whole-cluster", "sk-learn-classifier-v2", "sk-transformers"),
    *("hf_dataset_loader", "npm_config_registry", "pypi-publish-workflow", "gpt-4o-mini-2024-07-18"),
    *("eos_token=</s>", "token: the smallest unit", "next session: morning", "secret: the sauce", "key: value"),
    *("primary_key=id", "def login(password: str) -> None", "use_auth=True", "password=None", "password=''"),
    *("Basic understanding of bearer instruments", "the Bearer authentication scheme"),
    *("http://localhost:8080/runs?page=2", "git@github.com:org/repo.git", "https://user@host.example.com/x"),
    *("12:30:45.123 rows=1712345678901234567", "2026-01-02T03:04:05+00:00", "0.4111111111111111"),
    *("4111111111111112", "12345-67-8901", "000-12-3456", "package@1.2.3", "a@b", "@app.route", "eyJhbGciOiJIUzI1NiJ9"),
    *("run.py --max-tokens 100 --password-file /run/x --verbose", "call 555-123-4567 at 10.0.0.1"),
    *("credentials=(user, password)", "passwords: list[str] = []", "token={}", "secret = [x for x in y]"),
    *("('password', 'email')", "['session', 'user']", "fw_update_firmware", "risk_level_of_the_whole_portfolio"),
    *("-----BEGIN CERTIFICATE-----\nMIIEow\n-----END CERTIFICATE-----", "", "naïve 😀 \udc80"),
]


@pytest.mark.parametrize(("text", "expected"), SHAPES.values(), ids=SHAPES.keys())
def test_a_secret_goes(text: str, expected: str) -> None:
    """Every shape of a secret is removed, and nothing but the secret."""
    assert redactor.text(text) == expected


def test_a_secret_goes_in_the_middle_of_a_text() -> None:
    """It makes no difference what stands around a secret, unless it was cut off: then all that follows goes."""
    around = "Then\n({}\n) and 12:30 x=1"

    results = {name: redactor.text(around.format(text)) for name, (text, _) in SHAPES.items()}

    expected = {name: around.format(clean) for name, (_, clean) in SHAPES.items()}
    assert results == expected | {"private key, cut off": "Then\n([redacted]"}


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_look_alike_stays(text: str) -> None:
    """What only resembles a secret is recorded as it is, at the first look and at the second."""
    assert [redactor.text(text), redactor.text(text)] == [text, text]


@pytest.mark.parametrize(
    "key",
    [
        *("password", "passwd", "pwd", "secret", "api_key", "apikey", "apiKey", "APIKey", "X-API-Key", "api key"),
        *("authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "http.request.header.cookie", "auth"),
        *("token", "access_token", "refresh_token", "accessToken", "HF_TOKEN", "oauthToken", "github.token"),
        *(
            "private_key",
            "credential",
            "aws_credentials",
            "aws_secret_access_key",
            "openai_api_key",
            "OPENAI_API_KEY_2",
        ),
        *("session", "session_id", "sessionid", "session_token", "branchline.config.session", "JSESSIONID"),
        *("db.password", "DB_PASSWORD_PROD", "userPassword", "password_hash", "client_secret", "clientSecret", "ssn"),
    ],
)
def test_a_secret_key(key: str) -> None:
    """A key is secret in every spelling and wherever in the key the word stands."""
    assert (redactor.is_secret(key), redactor.value(key, "x")) == (True, REDACTED)


@pytest.mark.parametrize(
    "key",
    [
        *("session_length", "spark.session.name", "secretary", "authentic", "author", "authority", "cookie_recipe"),
        *("csrf_chapter", "input_tokens", "output_tokens", "gen_ai.usage.input_tokens", "token_count", "total_tokens"),
        *(
            "max_tokens",
            "max_token",
            "eos_token",
            "cost_per_token",
            "tokenizer",
            "tokens",
            "passwordless",
            "skeleton_key",
        ),
        *(
            "monkey",
            "keyboard",
            "key",
            "primary_key",
            "cache_key",
            "public_key",
            "passed",
            "bypass",
            "compass",
            "",
            "1",
        ),
        *("password_length", "password_file", "authorization_url", "code.function.name", "branchline.branch.name"),
    ],
)
def test_a_harmless_key(key: str) -> None:
    """A key that has a secret word inside another word, or that only counts or names secrets, is not secret."""
    assert (redactor.is_secret(key), redactor.value(key, "x")) == (False, "x")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("config", {"rate": 0.1, "db": {"password": "x"}}, {"rate": 0.1, "db": {"password": REDACTED}}),
        ("password", {"old": "x", "new": ["y"]}, REDACTED),
        ("password", 1234, REDACTED),
        ("password", None, None),
        ("use_auth", True, True),
        ("note", ["a", {"token": "x"}, "password=x"], ("a", {"token": REDACTED}, "password=[redacted]")),
        ("argv", ("run", "--api-key", "x", "-v"), ("run", "--api-key", REDACTED, "-v")),
        ("argv", ("run", "--password", "--verbose"), ("run", "--password", "--verbose")),
        ("argv", ("--password=x", "file"), ("--password=[redacted]", "file")),
        ("argv", (b"run", 5, "--token", b"x"), (b"run", 5, "--token", REDACTED)),
        ("headers", (("Authorization", "x"), ("Host", "h")), (("Authorization", REDACTED), ("Host", "h"))),
        ("headers", [[b"cookie", b"x"]], ((b"cookie", REDACTED),)),
        ("chat", [["I forgot my password", "Ask Jane"]], (("I forgot my password", "Ask Jane"),)),
        ("body", b'\xff{"password": "x"}', b'\xff{"password": "[redacted]"}'),
        ("cache", {"a@b.org": 1, "c@d.org": 2}, {"[redacted]": 1, "[redacted]#1": 2}),
        ("rate", 0.5, 0.5),
    ],
)
def test_values_are_walked(key: str, value: object, expected: object) -> None:
    """Containers are looked through, and the keys in them count."""
    assert redactor.value(key, value) == expected  # type: ignore[arg-type]  # one table for all kinds


def test_extra_keys() -> None:
    """The user's own keys are whole words in any spelling too, in texts as well."""
    mine = Redactor(extra_keys=["customer_id", "größe", "42"])

    keys = ("customer_id", "billing.customerId", "Customer-ID", "GRÖSSE", "größe", "42", "customer", "customer_ids")
    assert [key for key in keys if not mine.is_secret(key)] == ["GRÖSSE", "customer", "customer_ids"]
    assert mine.text("customerId=7 42=x customers=8") == "customerId=[redacted] 42=[redacted] customers=8"


def test_extra_patterns() -> None:
    """The user's own patterns are taken out whole, even of a text that raises no suspicion."""
    mine = Redactor(extra_patterns=[r"\bproject \w+", re.compile("berlin", re.IGNORECASE)])

    assert mine.text("project apollo in Berlin") == "[redacted] in [redacted]"


def test_the_callback_has_the_last_word_on_what_is_left() -> None:
    """The callback is asked about every single value that the rules left, under the nearest key."""
    asked: list[tuple[str, object]] = []

    def callback(key: str, value: object) -> str | None:
        asked.append((key, value))
        return None if key == "b" else "seen"

    result = Redactor(callback=callback).value("a", {"b": 1, "c": ["x", True], "password": "x"})

    assert result == {"b": None, "c": ("seen", "seen"), "password": REDACTED}
    assert asked == [("b", 1), ("c", "x"), ("c", True)]


@pytest.mark.parametrize(
    "answer", [object(), float("nan"), 2**80, "\ud800", ["x"]], ids=lambda answer: type(answer).__name__
)
def test_the_callback_fails_closed(answer: object) -> None:
    """What the callback cannot say, or says in a way that cannot be recorded, is not recorded."""

    def confused(key: str, value: object) -> object:
        return answer

    def raising(key: str, value: object) -> object:
        raise KeyError(key)

    results = [Redactor(callback=function).value("a", "x") for function in (confused, raising)]  # type: ignore[arg-type]
    assert results == [REDACTED, REDACTED]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_patterns": ["("]}, "extra_patterns has '(', which is no regular expression"),
        ({"extra_patterns": "abc"}, "extra_patterns is a collection, such as a tuple; got 'abc'"),
        ({"extra_keys": "abc"}, "extra_keys is a collection, such as a tuple; got 'abc'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str) -> None:
    """What cannot work is said at once, with the value."""
    with pytest.raises(ValueError, match=re.escape(message)):
        Redactor(**options)  # type: ignore[arg-type]


def test_a_redactor_travels_to_another_process() -> None:
    """A redactor is a value: equal to its pickled copy, which does the same."""
    mine = Redactor(extra_keys={"badge"}, extra_patterns=["x+"])
    mine.text("badge=1")

    copy = pickle.loads(pickle.dumps(mine))

    assert (copy, copy.text("badge=1 xxx"), hash(copy)) == (mine, "badge=[redacted] [redacted]", hash(mine))


def test_what_is_remembered_is_bounded() -> None:
    """A program that makes up its keys and texts does not fill the memory."""
    mine = Redactor()
    for number in range(10_000):
        mine.is_secret(f"key {number}")
        mine.text(f"step-{number}")

    assert max(len(mine._known), len(mine._harmless)) <= 4_096


def test_the_setting() -> None:
    """``redact=`` takes True, False or a Redactor."""
    mine = Redactor(extra_keys=("a",))

    assert [redactor_from(option) for option in (True, False, mine)] == [Redactor(), None, mine]
    with pytest.raises(ValueError, match="redact is True, False or a Redactor; got 'yes'"):
        redactor_from("yes")  # type: ignore[arg-type]


fragments = st.sampled_from(
    [
        *(text for text, _ in SHAPES.values()),
        *HARMLESS,
        *("password", "token", "key", "api", "Cookie", "Authorization", "Bearer", "Basic", "sk-", "eyJ", "hf_", "://"),
        *(
            '"',
            "'",
            "\\",
            "=",
            ":",
            " ",
            "\n",
            "@",
            "--",
            "-",
            "_",
            ".",
            "?",
            "&",
            "[",
            "{",
            "x",
            "A",
            "9",
            "é",
            "\udc80",
        ),
    ]
)
texts = st.lists(fragments | st.text(string.printable, max_size=10), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_redacting_twice_changes_nothing(text: str) -> None:
    """What was redacted before the crash ring is redacted again before the journal."""
    once = redactor.text(text)

    assert redactor.text(once) == once


@settings(max_examples=300, deadline=None)
@given(st.text(string.ascii_letters + string.digits, min_size=6, max_size=30), texts)
def test_a_password_never_stays(password: str, around: str) -> None:
    """Whatever stands around it, the value behind a secret key goes."""
    clean = Redactor().text(f"{around}\nDB_PASSWORD=q{password}q\n{around}")

    assert f"q{password}q" not in clean


@settings(max_examples=500, deadline=None)
@given(st.lists(texts | st.sampled_from(["token: x9y8z7", "input", " key: a1b2c3", "--api-key", "Bearer"]), max_size=8))
def test_texts_that_are_clean_together_are_clean_alone(several: list[str]) -> None:
    """What is looked at all at once hides nothing that one look at each would find."""
    mine = Redactor()
    are_clean = mine.are_clean(several)

    assert not are_clean or [mine.text(text) for text in several] == several


def test_a_key_does_not_begin_in_the_text_before() -> None:
    """`input token: 9` counts, `token: 9` is a token, and stays one behind a text that ends with `input`."""
    assert redactor.are_clean(["input token: x9y8z7w6", "rows=3"])
    assert not redactor.are_clean(["the input", " token: x9y8z7w6"])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_secret_among_clean_texts_is_found(shape: str) -> None:
    """One text with a secret is enough, wherever it stands."""
    text, clean = SHAPES[shape]

    for several in (["a", text, "b"], [text, "input"], ["input", text], ["x" * 150, text, "y=1"]):
        assert not redactor.are_clean(several)
    assert redactor.are_clean(["a", clean, "b"])


def test_harmless_texts_are_clean_together() -> None:
    """Texts that are left alone one by one may be looked at all at once."""
    assert redactor.are_clean(HARMLESS)
    assert redactor.are_clean([])


def test_extra_patterns_are_asked_about_each_text() -> None:
    """What somebody else's expression does not find in many texts, it may find in one."""
    assert not Redactor(extra_patterns=(r"\Asecret\Z",)).are_clean(["a", "b"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://token.example.com/x?y=1", "https://token.example.com/x?y=1"),
        ("password://hunter22", "password:[redacted]"),
        ("url=https://x.io token=abc", "url=https://x.io token=[redacted]"),
        ("https://x.io:password=abc", "https://x.io:password=[redacted]"),
    ],
)
def test_an_address_assigns_nothing(text: str, expected: str) -> None:
    """The colon of an address is passed over, that of any other word is not, nor what comes after."""
    assert redactor.text(text) == expected


STUMBLING_BLOCKS = [
    *("a", "1", "A", "-", "_", "=", ":", "@", "/", "--", " -", "a=", "a:", "a@a.", "@a.", "sk-a", "eyJ-", "eyJa."),
    *("-----BEGIN PRIVATE KEY", "-----BEGIN A ", "-----END ", "://", "://a:b", "a://b:c@", 'password:"', "4111-"),
    *('password="\\"', "password=[", "Cookie: a", "Cookie:a=", "Authorization: ", "Bearer ", "Basic a", "--a-", "hf_"),
    *("password=['", "password=[[{", "secret=[1", 'token={\\"', "('cookie', '", "['x-a-key',b'", "ATATT3", "dp.pt."),
    *("pypi-a", "SG.aaaaaaaaaaaaaaaaaaaa-", " key=", "\"'=", "&sig=", "token: ", "123-45-", "--token ", "aB1/"),
]


@pytest.mark.slow
def test_no_text_takes_more_than_linear_time() -> None:
    """Half a megabyte of anything the patterns stumble over is done long before a quadratic one would be."""
    program = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (45, 45))
from branchline.redaction import Redactor
for unit in {STUMBLING_BLOCKS!r}:
    print(repr(unit), flush=True)
    Redactor().text(unit * (500_000 // len(unit)))
print("done")
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert child.stdout.splitlines()[-1:] == ["done"], child.stderr
