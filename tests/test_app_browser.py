"""The pages of gan_jax.app in Debian's chromium: `make test-app`."""

import json
import pathlib
import shutil
import time

import numpy as np
import pytest
from PIL import Image

import gan_jax
from gan_jax import main
from gan_jax.apps import explore_page, lab_page, serving
from gan_jax.apps.explore import Explorer

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which('chromium')
#: Milliseconds that a page may take for what it does.
PATIENCE = 120_000
SMALL = ['--config.steps=1', '--config.eval.every=0', '--config.batch_size=8', '--config.sample_every=0']


@pytest.fixture(scope='module')
def browser():
  pytest.importorskip('gradio', reason='gradio is not installed: make test-app')
  api = pytest.importorskip('playwright.sync_api', reason='playwright is not installed: make test-app')
  if CHROMIUM is None:
    pytest.skip('there is no chromium: apt-get install chromium')
  with api.sync_playwright() as play:
    chromium = play.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
    yield chromium
    chromium.close()


@pytest.fixture
def opened(browser):
  """(a page of blocks, what was wrong with it); it is shut afterwards, and nothing may be asked of other machines."""
  asked, wrong, served = [], [], []

  def visit(blocks):
    served.append(blocks)
    address = serving.serve(blocks, '127.0.0.1', 0, wait=False)
    tab = browser.new_page(viewport={'width': 1400, 'height': 1000})
    tab.set_default_timeout(PATIENCE)
    tab.on('request', lambda request: asked.append(request.url))
    tab.on('pageerror', lambda error: wrong.append(str(error)))
    tab.goto(address)
    return tab

  yield visit
  for blocks in served:
    blocks.close()
  outside = [url for url in asked if '127.0.0.1' not in url and not url.startswith(('data:', 'blob:'))]
  assert not outside and not wrong


def address_of(tab, name):
  """Where the picture of an element is, when it is there."""
  return tab.wait_for_selector(f'#{name} img').get_attribute('src')


def changed(tab, name, before):
  """The picture's new address."""
  tab.wait_for_function(f"document.querySelector('#{name} img')?.src !== {json.dumps(before)}")
  return address_of(tab, name)


def pick(tab, name, text):
  """Chooses an entry of a list."""
  tab.click(f'#{name} input')
  tab.get_by_role('option', name=text, exact=True).click()


def test_a_slider_and_a_class_show_other_pictures(opened, tmp_path):
  config = ['--config', 'configs/biggan.py:digits', *SMALL, '--config.devices=1', '--workdir', str(tmp_path / 'run')]
  widths = [f'--config.game.{player}.channels=(8,8)' for player in ('generator', 'discriminator')]
  main.main([*config, *widths])
  tab = opened(explore_page.page(Explorer(gan_jax.load(tmp_path / 'run'))))
  first = address_of(tab, 'grid')
  tab.fill('#direction-1 input[type=number]', '4')
  tab.press('#direction-1 input[type=number]', 'Enter')
  moved = changed(tab, 'grid', first)
  pick(tab, 'condition-label', '7')
  seven = changed(tab, 'grid', moved)
  assert len({first, moved, seven}) == 3
  way = address_of(tab, 'way')
  box = tab.wait_for_selector('#grid img').bounding_box()
  tab.mouse.click(box['x'] + 0.4 * box['width'], box['y'] + 0.6 * box['height'])
  changed(tab, 'grid', seven)
  changed(tab, 'way', way)
  for title, name in (('Nearest training pictures', 'nearest'), ('Attention', 'attention')):
    tab.get_by_role('tab', name=title).click()
    assert tab.wait_for_selector(f'#{name} img').bounding_box()['width'] > 300
  tab.fill('#seed input', '-1')
  tab.press('#seed input', 'Enter')
  assert 'must be a whole number' in tab.wait_for_selector('.toast-body').inner_text()


def test_a_dropped_picture_is_translated(opened, tmp_path):
  config = ['--config', 'configs/pix2pix.py:digits', *SMALL, '--config.devices=1', '--workdir', str(tmp_path / 'run')]
  main.main(config)
  Image.fromarray(np.full((40, 30, 3), 200, np.uint8)).save(tmp_path / 'mine.png')
  tab = opened(explore_page.page(Explorer(gan_jax.load(tmp_path / 'run'))))
  address_of(tab, 'grid')
  tab.set_input_files('#drop input[type=file]', str(tmp_path / 'mine.png'))
  tab.wait_for_function("document.querySelectorAll('#made img').length >= 2")


def test_the_lab_plays_and_its_samples_move(opened):
  tab = opened(lab_page.page())
  samples = lambda: tab.wait_for_selector('#lab-samples', state='attached').get_attribute('d')
  now = "parseInt(document.querySelector('#status').innerText.match(/Step ([0-9,]+)/)[1].replace(',', ''))"
  step = lambda: tab.evaluate(now)
  first = samples()
  tab.click('#step')
  tab.wait_for_function(f'{now} === 1')
  one = samples()
  assert one != first
  tab.click('#play')
  tab.wait_for_function(f'{now} >= 200')
  tab.click('#play')
  tab.get_by_role('button', name='Play').wait_for()
  time.sleep(2)
  stopped = step()
  assert stopped >= 200 and samples() != one
  time.sleep(2)
  assert step() == stopped
  tab.click('#again')
  tab.wait_for_function(f'{now} === 0')
  assert samples() == first


def test_the_pictures_of_the_docs_are_small():
  for name in ('app', 'lab'):
    assert 0 < (pathlib.Path(__file__).parent.parent / 'docs' / 'images' / f'{name}.png').stat().st_size < 300_000
