"""The pictures of README and of the documentation's pages: `make figures`.

docs/bench.webp is an animation of the bench, docs/report.png the first screen of a report. Chromium
draws both; each frame is what the page shows, and Pillow puts the frames together. The pictures of
the guides are the package's own figures, as plotly writes them.
"""

import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _concepts import write_concepts
from PIL import Image
from selenium import webdriver

from xor_mi import geometry, handmade, plots, zoo
from xor_mi.bench import write_bench
from xor_mi.interventions import ablation_sweep, patch_sweep
from xor_mi.report import find_out, write_report
from xor_mi.training import train

HERE = Path(__file__).parent
SIZE = (1000, 890)
"""Pixels of a frame."""
FRAME = 70
"""Milliseconds of a frame."""
MOST_BYTES = 2_000_000
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
SETTLED = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
"""Calls back when what was asked for has been drawn."""
SET = """
const input = document.querySelector(`.xmb [data-key="${arguments[0]}"] input[type=range]`);
input.value = arguments[1];
input.dispatchEvent(new Event("input", { bubbles: true }));
"""
MARK = """
const weight = document.querySelector(`.xmb-weights [data-key="${arguments[0]}"]`);
(weight || document.querySelector(".xmb-now")).dispatchEvent(
  new PointerEvent("pointerover", { bubbles: true }),
);
"""
CLICK = "document.querySelector(arguments[0]).click()"
RESET = ".xmb-tools button"


def main() -> None:
    """Write every picture where its page is."""
    write_guides()
    write_input_plane()
    write_concepts()
    result = train("XOR", seed=29)
    with tempfile.TemporaryDirectory() as folder:
        page = write_bench(Path(folder, "bench.html"), result.model)
        report = write_report(find_out(result.model, progress=False), Path(folder, "report"))
        options = webdriver.ChromeOptions()
        for flag in FLAGS:
            options.add_argument(flag)
        service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
        driver = webdriver.Chrome(options=options, service=service)
        try:
            width, height = SIZE
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            driver.get(page.as_uri())
            driver.execute_script("document.querySelector('h1').remove()")
            write_animation(list(frames(driver)), HERE / "bench.webp")
            driver.get(report.as_uri())
            driver.execute_async_script("setTimeout(arguments[0], 2000)")
            still = picture(driver).quantize(128, dither=Image.Dither.NONE)
            still.save(HERE / "report.png", optimize=True)
        finally:
            driver.quit()


def write_guides() -> None:
    """The pictures of the guides on patching and the like."""
    model = zoo.load("or-and")
    figures = {
        "patching.png": patch_sweep(model).plot(),
        "ablation.png": ablation_sweep(model, value="zero").plot(),
    }
    for name, figure in figures.items():
        place = HERE / "how_to" / name
        figure.write_image(place, scale=2)
        shrunk = Image.open(place).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        shrunk.save(place, optimize=True)


def write_input_plane() -> None:
    """The textbook network's plane of inputs, with the way from 00 to 11."""
    model = handmade.textbook_xor()
    figure = plots.input_plane(model, path=geometry.path(model, "00", "11"))
    still = Image.open(io.BytesIO(figure.to_image("png", scale=2))).convert("RGB")
    # of few colours the most apart, or the ends of the colour bar are lost
    fewer = still.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    fewer.save(HERE / "how_to" / "input_plane.png", optimize=True)


def frames(driver: webdriver.Chrome) -> Iterator[tuple[Image.Image, int]]:
    """Frames with their milliseconds: the input goes round, then weights move and come back."""
    yield picture(driver), 900
    for key, start, end in (("x0", 0.0, 1.0), ("x1", 1.0, 0.0)):
        for value in steps(start, end):
            yield moved(driver, key, value), FRAME
        yield picture(driver), 500
    for symbol, row, start, end in (("w12", "01", 3.15, 0.4), ("v2", "11", -6.2, -1.0)):
        driver.execute_script(CLICK, f".xmb tr[data-key='{row}']")
        driver.execute_script(MARK, symbol)
        yield picture(driver), 700
        for value in steps(start, end):
            yield moved(driver, symbol, value), FRAME
        yield picture(driver), 1400
        for value in steps(end, start, n=10):
            yield moved(driver, symbol, value), FRAME
        driver.execute_script(MARK, "")
        driver.execute_script(CLICK, RESET)
        yield picture(driver), 700


def steps(start: float, end: float, *, n: int = 16) -> Iterator[float]:
    """Numbers from start to end, slower at both ends."""
    for step in range(1, n + 1):
        share = step / n
        yield start + (end - start) * share * share * (3 - 2 * share)


def moved(driver: webdriver.Chrome, key: str, value: float) -> Image.Image:
    """What is seen after a slider has moved."""
    driver.execute_script(SET, key, value)
    return picture(driver)


def picture(driver: webdriver.Chrome) -> Image.Image:
    """What is seen now."""
    driver.execute_async_script(SETTLED)
    return Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")


def write_animation(pictures: list[tuple[Image.Image, int]], file: Path) -> None:
    """The frames as an animation without end."""
    (first, _), *others = pictures
    first.save(
        file,
        save_all=True,
        append_images=[image for image, _ in others],
        duration=[milliseconds for _, milliseconds in pictures],
        loop=0,
        quality=72,
        method=5,
        minimize_size=False,
    )
    size = file.stat().st_size
    assert size < MOST_BYTES, f"{file.name} has {size:,} bytes"
    print(f"{file.name}: {len(pictures)} frames, {size:,} bytes")


if __name__ == "__main__":
    main()
