"""Sequences of symbols: SeqGAN's networks, its gradient, the oracle, lines of texts, BLEU."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gan_jax
from gan_jax import config as config_lib
from gan_jax import core, evaluate, runs, sample
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.data.sources import oracle
from gan_jax.data.streams import Stream
from gan_jax.data.text import Text
from gan_jax.evaluation import of_symbols
from gan_jax.games.seqgan import SeqGAN
from gan_jax.latents.distributions import Uniform
from gan_jax.losses import policy
from gan_jax.metrics import bleu
from gan_jax.nets import seqgan
from gan_jax.runs.experiment import experiment_of
from gan_jax.training import checks, loop

KEY = jax.random.key(0)


def lstm(vocabulary=5, **settings):
  module = seqgan.Generator(vocabulary, units=3, hidden=4, stddev=0.5, **settings)
  return module, module.init(KEY, jnp.zeros((1, 6), jnp.int32))


# The networks


def test_tokens_are_drawn_as_often_as_they_are_probable():
  logits = np.random.RandomState(0).randn(7).astype(np.float32) * 2
  shares = (np.arange(20_000) + 0.5) / 20_000
  found = seqgan.drawn(jnp.tile(logits, (20_000, 1)), jnp.asarray(shares, jnp.float32))
  p = np.exp(logits) / np.exp(logits).sum()
  np.testing.assert_allclose(np.bincount(found, minlength=7) / 20_000, p, atol=2e-4)
  np.testing.assert_array_equal(found, np.searchsorted(np.cumsum(p)[:-1], shares, 'right'))


def test_the_likelihood_of_a_sequence_is_that_with_which_it_is_drawn():
  module, variables = lstm(3)
  shares = jax.random.uniform(KEY, (20_000, 2))
  made = np.asarray(module.apply(variables, shares, method='generate'))
  for pair in ([0, 0], [1, 2], [2, 1]):
    p = np.exp(module.apply(variables, np.array([pair]), method='log_likelihood')).prod()
    np.testing.assert_allclose((made == pair).all(1).mean(), p, atol=0.01)


def test_a_completion_keeps_its_beginning_and_draws_the_rest():
  module, variables = lstm()
  shares = jax.random.uniform(KEY, (4, 6))
  whole = np.asarray(module.apply(variables, shares, method='generate'))
  kept = jnp.array([0, 2, 5, 6])
  other = np.full((4, 6), 3, np.int32)
  np.testing.assert_array_equal(module.apply(variables, whole, kept, shares, method='complete'), whole)
  done = np.asarray(module.apply(variables, other, kept, shares, method='complete'))
  for row, count, first in zip(done, [0, 2, 5, 6], other, strict=True):
    np.testing.assert_array_equal(row[:count], first[:count])
  np.testing.assert_array_equal(done[0], whole[0])


def test_published_parameter_counts():
  """The authors' arrays: 8 gates of 32 x 32 and 4 biases; filters, highway and one of their two outputs."""
  count = lambda network, shape: sum(
    x.size for x in jax.tree.leaves(jax.eval_shape(lambda: network.init(KEY, jnp.zeros(shape, jnp.int32))))
  )
  assert count(seqgan.Generator(5000), (1, 20)) == 5000 * 32 + 8 * 32 * 32 + 4 * 32 + 32 * 5000 + 5000
  game = config_lib.load('configs/seqgan.py').game.discriminator
  judge = seqgan.Discriminator(5000, tuple(game.windows), tuple(game.channels))
  filters = sum((w * 64 + 1) * c for w, c in zip(game.windows, game.channels, strict=True))
  initialised = jax.eval_shape(lambda: judge.init(KEY, jnp.zeros((1, 20), jnp.int32), train=False))
  found = sum(x.size for x in jax.tree.leaves(initialised))
  assert found == 5000 * 64 + filters + 2 * (1720 * 1720 + 1720) + 1721
  with pytest.raises(UserError, match=r'windows=.* for sequences of 8: give each window from 1 to 8'):
    jax.eval_shape(lambda: judge.init(KEY, jnp.zeros((1, 8), jnp.int32), train=False))


# The game


def small(**settings):
  game = SeqGAN(
    seqgan.Generator(4, units=2, hidden=3),
    seqgan.Discriminator(4, (1, 2), (2, 2), units=2, dropout=0.0),
    Uniform((3,), 0.0, 1.0),
    rollouts=2,
    **settings,
  )
  batch = {'images': {'tokens': jnp.zeros((6, 3), jnp.int32)}, 'latents': jax.random.uniform(KEY, (6, 3))}
  variables = game.init({'params': KEY, 'noise': KEY, 'dropout': KEY}, batch, method='generator_loss')
  return game, batch, variables


def test_the_other_losses_and_the_highway_by_hand():
  game, batch, variables = small(decay=0.1)
  apply = lambda method, *inputs: game.apply(variables, *inputs, method=method, rngs={'dropout': KEY})
  tokens = jnp.array([[1, 3, 0], [2, 2, 2], [0, 1, 2], [3, 3, 1], [0, 0, 0], [1, 2, 3]])
  batch = {**batch, 'images': {'tokens': tokens}}
  real, fake = (apply('logits', x) for x in (tokens, apply('sample', batch)))
  out = variables['params']['discriminator']['out']
  squares = sum(float((w**2).sum()) for w in out.values())
  wanted = -(jax.nn.log_sigmoid(real).mean() + jax.nn.log_sigmoid(-fake).mean()) / 2 + 0.1 / 2 * squares
  np.testing.assert_allclose(apply('discriminator_loss', batch)[0], wanted, rtol=1e-5)
  np.testing.assert_allclose(apply('likelihood_loss', batch), -apply('log_likelihood', tokens).mean(), rtol=1e-5)
  with pytest.raises(UserError, match=r'latents\.shape=\(3,\) must be \(2,\), the length of the data'):
    apply('likelihood_loss', {**batch, 'images': {'tokens': tokens[:, :2]}})


def test_settings_that_train_nothing_are_one_line():
  game, *_ = small()
  for settings, words in (
    (dict(rollouts=0), 'rollouts=0 must be at least 1'),
    (dict(generator=seqgan.Generator(5, units=2, hidden=3)), 'generator has vocabulary=5, the discriminator 4'),
  ):
    with pytest.raises(UserError, match=words):
      _ = game.clone(**settings).turns
  with pytest.raises(UserError, match='a baseline of rewards needs two examples'):
    policy.policy_gradient(jnp.ones((1, 3)), jnp.ones((1, 3)))


def test_the_gradient_is_of_the_reward_times_the_likelihood_alone():
  game, batch, variables = small(baseline=False)
  variables = {**variables, 'clock': {'now': core.Clock(*map(jnp.int32, (3, 3, 9)), jnp.float32(0))}}
  rngs = {'noise': KEY}

  def loss(generator, method, *inputs):
    params = {**variables['params'], 'generator': generator}
    out, _ = game.apply({**variables, 'params': params}, *inputs, method=method, rngs=rngs, mutable=['table'])
    return out

  generator = variables['params']['generator']
  tokens = game.apply(variables, batch, method='sample')
  rewards = loss(generator, 'rewards', tokens)
  assert rewards.shape == (6, 3) and (rewards > 0).all() and (rewards < 1).all()
  likely = lambda p: game.generator.apply({'params': p}, tokens, method='log_likelihood')
  wanted = jax.grad(lambda p: -(rewards * likely(p)).sum(1).mean())(generator)
  found = jax.grad(lambda p: loss(p, 'generator_loss', batch)[0])(generator)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, wanted)


def test_rewards_of_a_whole_sequence_are_the_discriminators_and_a_sure_copy_gives_each_place_the_same():
  game, _, variables = small()
  # A copy whose bias makes token 2 certain completes everything by 2.
  sure = jax.tree.map(jnp.zeros_like, variables['table']['rollout'])
  sure['out']['bias'] = jnp.array([0.0, 0.0, 99.0, 0.0])
  variables = {**variables, 'table': {'rollout': sure}}
  variables['clock'] = {'now': core.Clock(*map(jnp.int32, (1, 1, 9)), jnp.float32(0))}
  game = game.clone(rollout_rate=1.0)
  tokens = jnp.array([[1, 3, 0], [2, 2, 2]])
  found, _ = game.apply(variables, tokens, method='rewards', rngs={'noise': KEY}, mutable=['table'])
  judged = lambda rows: jax.nn.sigmoid(game.apply(variables, jnp.array(rows), method='logits'))
  wanted = [judged([[1, 2, 2], [2, 2, 2]]), judged([[1, 3, 2], [2, 2, 2]]), judged(tokens)]
  np.testing.assert_allclose(found, np.stack(wanted, 1), rtol=1e-5)


def test_the_copy_starts_as_the_generator_and_moves_slowly():
  game, _, variables = small(rollout_rate=0.8)
  now = jax.tree.map(lambda x: jnp.full_like(x, 3.0), variables['params']['generator'])
  before = jax.tree.map(lambda x: jnp.full_like(x, 1.0), now)

  def weights(step):
    clock = {'now': core.Clock(*map(jnp.int32, (7, step, 9)), jnp.float32(0))}
    given = {'params': {**variables['params'], 'generator': now}, 'table': {'rollout': before}, 'clock': clock}

    def moved(game):
      game.generator(jnp.zeros((1, 3), jnp.int32))
      return game.rollout_weights()

    return jax.tree.leaves(game.apply(given, method=moved, mutable=['table'])[0])

  assert all((x == 3.0).all() for x in weights(0))
  assert all(np.allclose(x, 0.8 * 1 + 0.2 * 3) for x in weights(1))


def test_bfloat16_cannot_draw_tokens():
  game, batch, variables = small()
  with pytest.raises(UserError, match=r'needs 24 bits, set config.dtype=float32'):
    game.apply(variables, batch['latents'].astype(jnp.bfloat16), method='generate')


# The data


def test_the_oracle_s_sequences_are_as_likely_as_it_says():
  stream = Stream(name='oracle/6x3', columns={'tokens': {'name': 'Array'}})
  source = stream.open()
  tokens = np.stack([source[i]['tokens'] for i in range(2000)])
  assert len(source) == 10_000 and tokens.shape == (2000, 3) and set(np.unique(tokens)) <= set(range(6))
  module, weights = oracle.network(6)
  every = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing='ij'), -1).reshape(-1, 3)
  log_p = np.asarray(module.apply(weights, every, method='log_likelihood')).sum(1)
  np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, rtol=1e-4)
  entropy = -(np.exp(log_p) * log_p).sum() / 3
  nll = oracle.negative_log_likelihood(tokens, 6)
  np.testing.assert_allclose(nll.mean(), entropy, atol=5 * nll.std() / np.sqrt(2000))
  held_out = oracle.Oracle(Stream(name='oracle/6x3', split='test'))
  assert not np.array_equal(held_out.column('tokens')[:2000], tokens)
  for name in ('oracle/6', 'oracle/1x3', 'oracle/6x1x3'):
    with pytest.raises(UserError, match='oracle/VOCABULARYxLENGTH'):
      Stream(name=name, columns={'tokens': {'name': 'Array'}}).open()
  with pytest.raises(UserError, match=r'split of oracle/6x3'):
    Stream(name='oracle/6x3', split='validation', columns={'tokens': {'name': 'Array'}}).open()
  with pytest.raises(UserError, match='has columns only'):
    Stream(name='oracle/6x3').open()


def test_lines_of_a_file(tmp_path):
  path = tmp_path / 'captions.txt'
  path.write_text('\n\n'.join(f'a dog number {i} runs' for i in range(20)))
  text = {'name': 'Text', 'column': 'text', 'length': 6, 'level': 'words', 'captions': 1}
  stream = lambda **settings: Stream(name='lines', path=str(path), columns={'tokens': text}, **settings)
  assert [len(stream(split=split).open()) for split in ('train', 'test', 'all', 'train[:5]')] == [18, 2, 20, 5]
  source = stream(split='test').open()
  assert source.kinds['tokens'].decode(source[0]['tokens']) == 'a dog number ? runs'  # 18 is only in the test lines
  with pytest.raises(UserError, match=r'split of .*captions.txt'):
    stream(split='validation').open()
  with pytest.raises(UserError, match='is not a file'):
    Stream(name='lines', path=str(tmp_path / 'none.txt'), columns={'tokens': text}).open()
  (tmp_path / 'test.txt').write_text('one line')
  divided = Stream(name='lines', path=str(tmp_path / '{split}.txt'), split='test', columns={'tokens': text})
  assert len(divided.open()) == 1


@pytest.mark.parametrize('level', ['words', 'characters'])
def test_a_token_beyond_the_vocabulary_is_a_question_mark(level):
  """A network for 5,000 words draws tokens that a small file has no word for."""
  kind = Text(length=5, level=level, vocabulary=('a', 'b'))
  assert kind.decode([2, 4, 5001, 3, 0]) == (' ' if level == 'words' else '').join('a??b')
  assert Text(length=2).fit(['xy']).decode([1, 5001]) == '??'


# BLEU


def test_bleu_by_hand():
  words = str.split
  references = [words('the cat is on the mat'), words('there is a cat on the mat')]
  # Papineni's example: "the" seven times; a reference has it twice.
  found = bleu.bleu([['the'] * 7], references, 1)
  np.testing.assert_allclose(found, [2 / 7])
  # c = 3; the nearest reference has 6 words: exp(1 - 6 / 3); all words, and both pairs of them.
  np.testing.assert_allclose(bleu.bleu([words('the cat is')], references, 2), [np.exp(-1.0)])
  # No pair of words is known: it counts as 0.1 of 5 pairs, all 6 of the words are there twice at most.
  sentence = words('mat the on is cat the')
  np.testing.assert_allclose(bleu.bleu([sentence], references[:1], 2), [np.sqrt(1.0 * 0.1 / 5)])
  assert bleu.bleu([[]], references, 2).tolist() == [0.0]
  with pytest.raises(UserError, match='order=0'):
    bleu.bleu([['a']], references, 0)


def test_self_bleu_leaves_a_sentence_out():
  random = np.random.RandomState(0)
  sentences = [list(random.randint(0, 4, size)) for size in (5, 6, 6, 7, 5)]
  for order in (1, 3):
    wanted = [bleu.bleu([s], sentences[:i] + sentences[i + 1 :], order)[0] for i, s in enumerate(sentences)]
    np.testing.assert_allclose(bleu.self_bleu(sentences, order), wanted)
  with pytest.raises(UserError, match='give one of each'):
    bleu.self_bleu(sentences[:1], 2)


# A run


def test_captions_from_lines_to_sentences(tmp_path):
  """Train, figures, sentences in files."""
  path = tmp_path / 'captions.txt'
  path.write_text('\n'.join(f'a {colour} dog runs' for colour in ['red', 'blue', 'green'] * 20))
  config = config_lib.override(
    config_lib.load('configs/seqgan.py:captions'),
    [
      f'--config.data.path={path}',
      '--config.data.columns.tokens.length=5',
      '--config.data.columns.tokens.vocabulary=6',
      '--config.game.latents.shape=(5,)',
      '--config.game.generator={"name": "seqgan.Generator", "vocabulary": 8, "units": 4, "hidden": 8}',
      '--config.game.discriminator.windows=(1,)',
      '--config.game.discriminator.channels=(2,)',
      '--config.game.discriminator.vocabulary=8',
      '--config.stages=({"steps": 60, "game": {"phase": "likelihood"}},)',
      '--config.batch_size=16',
      '--config.devices=1',
      '--config.checkpoint_every=0',
      '--config.samples=4',
    ],
  )
  loop.run(config, tmp_path / 'run', silent=True)
  command.main(evaluate._define, evaluate._run, '', ['', '--workdir', str(tmp_path / 'run'), '--samples=20'][1:])
  figures = json.loads((tmp_path / 'run' / 'evaluation.json').read_text())['figures']
  assert {'bleu_2', 'bleu_5', 'self_bleu_2', 'self_bleu_5_real', 'likelihood'} <= set(figures)
  assert figures['self_bleu_2_real']['value'] == 1.0 and 0 <= figures['bleu_2']['value'] <= 1
  command.main(
    sample._define, sample._run, '',
    ['--workdir', str(tmp_path / 'run'), '--count=3', '--format=text', '--out', str(tmp_path / 'out')],
  )  # fmt: skip
  texts = [(tmp_path / 'out' / f'{i:06d}.txt').read_text().strip() for i in range(3)]
  run = gan_jax.load(tmp_path / 'run')
  kind = run.stage.streams['images'].open().kinds['tokens']
  assert texts == [kind.decode(row) for row in run.sample(3, seed=0)]
  assert set(' '.join(texts).split()) <= {'a', 'red', 'blue', 'green', 'dog', 'runs', '?'}


def test_stages_of_the_shipped_config():
  """Only the generator moves, then only the discriminator, then both; the paper's numbers of moves."""
  stages = runs.stages_of(config_lib.load('configs/seqgan.py:oracle'))
  assert [stage.steps for stage in stages] == [18_720, 46_800, 200]
  assert [core.frozen_players(stage.game) for stage in stages] == [('discriminator',), ('generator',), ()]
  assert [turn.repeat for turn in stages[2].game.turns] == [1, 4680]


@pytest.mark.parametrize(
  ('variant', 'change', 'words'),
  [
    ('digits', '--config.data.name=oracle/40x8', r"vocabulary=20 but column 'tokens' has up to 40 .* to 40$"),
    (
      'captions', f'--config.data.columns.tokens.vocabulary={tuple(map(str, range(8000)))}',
      r"vocabulary=5002 but column 'tokens' has up to 8002 .* to 8002, or .*tokens.vocabulary to 5000$",
    ),
  ],
)  # fmt: skip
def test_networks_that_know_fewer_tokens_than_the_data_have_are_one_line(variant, change, words):
  experiment = lambda *changes: experiment_of(
    config_lib.override(config_lib.load(f'configs/seqgan.py:{variant}'), changes)
  )
  with pytest.raises(UserError, match=words):
    checks.check_games(experiment(change))
  more = [f'--config.game.{network}.vocabulary=8002' for network in ('generator', 'discriminator')]
  checks.check_games(experiment(change, *more))  # rows that no token has are none too many


def test_words_are_counted_in_the_data(tmp_path):
  """Of a config without a list of words, whose data have six."""
  (tmp_path / 'few.txt').write_text('a red shoe\na blue bag\n' * 20)
  few = [f'--config.data.path={tmp_path}/few.txt', '--config.data.columns.tokens.vocabulary=5000']
  narrow = [f'--config.game.{network}.vocabulary={{}}' for network in ('generator', 'discriminator')]
  experiment = lambda rows: experiment_of(
    config_lib.override(config_lib.load('configs/seqgan.py:captions'), [*few, *(x.format(rows) for x in narrow)])
  )
  checks.check_games(experiment(7))  # five words, and two more tokens
  with pytest.raises(UserError, match=r"vocabulary=6 but column 'tokens' has up to 7 tokens"):
    checks.check_games(experiment(6))


def test_a_likelihood_counts_each_token_as_much_as_any_other(monkeypatch):
  monkeypatch.setattr(of_symbols, 'title', lambda stream: 'the held-out set')
  tokens = np.array([[3, 0, 0, 0], [4, 5, 0, 0], [6, 7, 3, 4], [3, 4, 0, 0], [5, 0, 0, 0]])
  log_p = -np.random.RandomState(0).rand(5, 4)

  def figure(tokens, kind):
    evidence = types.SimpleNamespace(
      game=types.SimpleNamespace(log_likelihood=None, apply=lambda variables, tokens, method: jnp.asarray(log_p)),
      held_out_examples=lambda count: tokens,
      once=lambda name, make: make(),
      variables={},
      stream=types.SimpleNamespace(kinds={'tokens': kind}, main='tokens'),
      held_out=None,
    )
    return next(iter(of_symbols.likelihood_figures(evidence)))

  found = figure(tokens, Text(length=4, vocabulary=('a', 'b', 'c', 'd', 'e', 'f')))
  counts = np.array([2, 3, 4, 3, 2])  # a text and its end
  sums = np.array([-row[:n].sum() for row, n in zip(log_p, counts, strict=True)])
  ratio = lambda s, n: s.sum() / n.sum()
  np.testing.assert_allclose(found.value, ratio(sums, counts), rtol=1e-6)
  # The delta method by finite differences: a text with a little more weight moves the ratio by so much.
  moves = []
  for i in range(5):
    weights = 1 + 1e-6 * np.eye(5)[i]
    moves.append((ratio(weights * sums, weights * counts) - ratio(sums, counts)) / 1e-6)
  np.testing.assert_allclose(found.standard_error, 5 * np.std(moves, ddof=1) / np.sqrt(5), rtol=1e-4)
  # Of one length it is the mean of each, and its standard error.
  plain, each = figure(tokens, None), -log_p.mean(1)
  np.testing.assert_allclose([plain.value, plain.standard_error], [each.mean(), each.std(ddof=1) / 5**0.5], rtol=1e-6)


def test_a_likelihood_is_of_words_and_their_end_alone():
  tokens = np.array([[3, 4, 0, 0], [1, 2, 3, 4], [0, 0, 5, 0]])
  wanted = [[True, True, True, False], [True] * 4, [True, False, False, False]]
  np.testing.assert_array_equal(of_symbols._counted(tokens), wanted)


def test_as_many_sentences_of_either_side_are_compared_among_each_other():
  rows = np.random.RandomState(0).randint(1, 4, (50, 6))
  evidence = types.SimpleNamespace(
    fake=types.SimpleNamespace(examples=rows[:20]),
    real_examples=lambda count: rows[:count],
    once=lambda name, make: make(),
    stream=types.SimpleNamespace(split='train'),
  )
  figures = {figure.name: figure.value for figure in of_symbols.self_bleu_figures(evidence)}
  assert all(figures[f'self_bleu_{n}'] == figures[f'self_bleu_{n}_real'] for n in (2, 3, 4, 5))
