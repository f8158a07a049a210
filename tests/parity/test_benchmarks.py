"""The benchmarks against PyTorch in their smallest form: the same losses from the same weights, and a row."""

import pathlib

import pytest

from benchmarks import run

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ('biggan32', 'biggan128')]


@pytest.mark.parametrize(
  'work',
  [
    'gan2014',
    'dcgan64',
    'sngan32',
    'progressive16',
    'cyclegan64',
    'pix2pix64',
    'volumes32',
    'stylegan64',
    'fastgan256',
    'r3gan64',
    *SLOW,
  ],
)
def test_two_steps_of_a_work(work):
  arguments = ['--work', work, '--small', '--steps', '2', '--batch', '4', '--rounds', '1', '--variants', 'eager']
  (row,) = run.main(arguments)
  assert row['difference'] < 1e-4 and row['ratio'] > 0 and row['flops'] > 0 and row['other_memory'] > 0


def test_through_the_loaders():
  arguments = ['--work', 'gan2014', '--small', '--steps', '2', '--batch', '4', '--rounds', '1', '--variants', 'eager']
  (row,) = run.main([*arguments, '--input', 'loader'])
  assert row['ratio'] > 0


def test_another_checkout_takes_pytorchs_place():
  here = str(pathlib.Path(__file__).parent.parent.parent)
  arguments = ['--work', 'gan2014', '--small', '--steps', '2', '--batch', '4', '--rounds', '1', '--against', here]
  (row,) = run.main(arguments)
  assert row['variant'] == 'before' and row['ratio'] > 0 and 'difference' not in row
