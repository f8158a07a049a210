"""The benchmarks' programs in their smallest form; nothing here asserts a time."""

import pytest

from benchmarks import growth, run
from benchmarks.works import WORKS


def test_gan_jax_alone(tmp_path, capsys):
  (row,) = run.main(['--work', 'gan2014', '--small', '--steps', '2', '--rounds', '1', '--variants', ''])
  assert row['seconds'] > 0 and row['matrix'] > 0 and row['memory'] > 0 and 'ratio' not in row
  assert WORKS['gan2014'].title in capsys.readouterr().out


@pytest.mark.slow
def test_growth_of_the_cost():
  rows = growth.main(['--small'])
  flops = {title: row['flops'] for title, row in rows.items()}
  # The networks' part divides by the devices; what every device does, such as Adam, does not.
  assert flops['8 devices, batch 8'] < flops['1 devices, batch 8'] / 4
  assert 1.7 < flops['batch 32'] / flops['batch 16'] <= 2.01
  step = flops['2 discriminators'] - flops['1 discriminators']
  assert flops['4 discriminators'] - flops['2 discriminators'] == pytest.approx(2 * step, rel=0.05)
