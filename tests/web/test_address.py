import pytest

from reconciler.web.address import Address, parse_address
from reconciler.web.errors import AddressInvalid


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param("127.0.0.1:8080", "127.0.0.1", 8080, id="IPv4"),
        pytest.param("[::1]:8080", "::1", 8080, id="IPv6"),
        pytest.param("localhost:0", "localhost", 0, id="name, any free port"),
        pytest.param(":65535", "", 65535, id="every address, the highest port"),
    ],
)
def test_an_address_is_read_and_written(text, host, port):
    assert parse_address(text) == Address(host, port)
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("8080", id="port alone"),
        pytest.param("localhost", id="host alone"),
        pytest.param("localhost:", id="no port after the colon"),
        pytest.param("localhost:http", id="port that is no number"),
        pytest.param("localhost:65536", id="port too high"),
        pytest.param("localhost:-1", id="port below 0"),
        pytest.param("localhost:٨٠", id="digits of another script"),
        pytest.param("::1:8080", id="IPv6 without brackets"),
        pytest.param("[::1:8080", id="open bracket"),
        pytest.param("http://localhost:8080", id="URL"),
        pytest.param("localhost:8080\n", id="line break"),
    ],
)
def test_what_is_no_address_says_which_option_to_mend(text):
    with pytest.raises(AddressInvalid, match="--listen HOST:PORT"):
        parse_address(text)
