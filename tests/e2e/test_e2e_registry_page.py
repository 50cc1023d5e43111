"""The registry's page in a real browser: what it shows, and that nothing in it becomes markup."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from tests.e2e.e2e_registry import Registry, registry

from tiffin.spec.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from tiffin.testing.registry_lab import descriptor

pytestmark = pytest.mark.e2e

MARKUP = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--window-size=1280,900"
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("page") / "root") as served:
        yield served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for option in OPTIONS.split():
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def push_image(served: Registry, name: str, reference: str, *sizes: int) -> bytes:
    layers = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    config = json.dumps(
        {
            "os": "linux", "architecture": "arm64",
            "config": {"Cmd": ["sh", "-c", MARKUP], "Labels": {MARKUP: MARKUP}},
            "history": [{"created_by": f"RUN {MARKUP}"} for _ in sizes],
        }
    ).encode()  # fmt: skip
    for data in (config, *layers):
        served.push_blob(name, data)
    manifest = json.dumps(
        {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(config, OCI_CONFIG),
            "layers": [descriptor(layer, OCI_LAYER) for layer in layers],
            "annotations": {"title": MARKUP},
        }
    ).encode()  # fmt: skip
    push(served, name, reference, manifest, OCI_MANIFEST)
    return manifest


def push(served: Registry, name: str, reference: str, data: bytes, media_type: str) -> None:
    path = f"/v2/{name}/manifests/{reference}"
    assert served.request("PUT", path, data, Content_Type=media_type)[0] == 201


def show(browser: webdriver.Chrome, served: Registry, place: str) -> str:
    """Go to a place in the page and return the text that it shows."""
    browser.get(f"http://{served.host}/{place}")
    return settled(browser, place)


def settled(browser: webdriver.Chrome, place: str) -> str:
    script = "return document.getElementById('main').dataset.ready"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(script) == place)
    return browser.find_element(By.ID, "main").text


def test_the_page(browser: webdriver.Chrome, served: Registry, tmp_path: Path) -> None:
    assert "There is nothing here yet" in show(browser, served, "#/")
    image = push_image(served, "team/app", "v1", 3_000_000, 40_000)
    push_image(served, "tools/other", "v1", 10)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        descriptor(image, OCI_MANIFEST) | {"platform": {"os": "linux", "architecture": "arm64"}},
    ]}  # fmt: skip
    push(served, "team/app", "latest", json.dumps(index).encode(), OCI_INDEX)

    browser.refresh()
    text = settled(browser, "#/")
    assert "team/app" in text
    assert "2 tags" in text
    assert "3.0 MB" in text

    search = browser.find_element(By.ID, "search")
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    assert browser.switch_to.active_element == search
    search.send_keys("OTHER")
    rows = "#repositories .row"
    WebDriverWait(browser, 20).until(
        lambda b: (
            [r.text.split("\n")[0] for r in b.find_elements(By.CSS_SELECTOR, rows)]
            == ["tools/other"]
        )
    )
    search.clear()
    search.send_keys("no such <b>name")
    WebDriverWait(browser, 20).until(lambda b: "Nothing found" in b.page_source)
    search.send_keys(Keys.ESCAPE)
    WebDriverWait(browser, 20).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, rows)) == 2)

    browser.find_elements(By.CSS_SELECTOR, rows)[0].click()
    text = settled(browser, "#/team/app")
    assert f"docker pull {served.host}/team/app:latest" in text
    tags = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#tags tbody tr")]
    assert [tag.split()[:2] for tag in tags] == [["latest", "linux/arm64"], ["v1", "linux/arm64"]]

    browser.find_elements(By.CSS_SELECTOR, "#tags tbody a")[0].click()
    settled(browser, "#/team/app:latest")
    browser.find_element(By.CSS_SELECTOR, "#manifests a").click()
    WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.ID, "layers"))
    layers = [layer.text for layer in browser.find_elements(By.CSS_SELECTOR, "#layers .layer")]
    assert len(layers) == 2
    assert "3.0 MB" in layers[0]
    assert MARKUP in layers[0]
    text = browser.find_element(By.ID, "main").text
    assert f"{MARKUP} = {MARKUP}" in text
    assert f"title = {MARKUP}" in text
    assert "owned" not in browser.title
    assert not browser.find_elements(By.CSS_SELECTOR, "main img, main script")

    assert "That did not work" in show(browser, served, "#/team/none")
    assert "That did not work" in show(browser, served, "#/team/app:none")
    complaints = [
        entry["message"] for entry in browser.get_log("browser")  # type: ignore[no-untyped-call]
        if "404" not in entry["message"]  # which the two before asked for
    ]  # fmt: skip
    assert complaints == []
    assert "Traceback" not in served.log
