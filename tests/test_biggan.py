"""SNGAN, SAGAN and BigGAN: the papers' parameter counts, ablations, truncation, standing statistics, attention."""

import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import untrained
from cases import few
from rows import shrunk

import gan_jax
from gan_jax import config as config_lib
from gan_jax import evaluate, main, runs, sample
from gan_jax.base.errors import UserError
from gan_jax.distributed import parallel
from gan_jax.games.standard import Standard
from gan_jax.latents import distributions as latents_lib
from gan_jax.nets import biggan, dcgan, mlp, progressive, published, r3gan, sngan, stylegan2
from gan_jax.nets.layers.norms import PlainBatchNorm
from gan_jax.sampling import standing
from gan_jax.training import summary

KEY = jax.random.key(0)
#: Parameters (generator, discriminator). BigGAN-128: Brock et al.'s code prints them. BigGAN-deep: published modules
#: have 50.4, 55.9 and 56.2 million in the generator, 0.144 of them in a last convolution of 128 channels where the
#: paper's tables have 3.
COUNTS = {
  'configs/biggan.py': (70_433_988, 87_982_370),
  'configs/biggan.py:imagenet128_256x8': (70_433_988, 87_982_370),
  'configs/biggan.py:imagenet128_deep': (50_244_484, 34_590_210),
  'configs/biggan.py:imagenet256_deep': (55_736_708, None),
  'configs/biggan.py:imagenet512_deep': (56_019_780, None),
}
PUBLISHED_DEEP = {128: 50.4e6, 256: 55.9e6, 512: 56.2e6}
NARROW128 = [f'--config.game.{player}.channels=(8,8,8,8,8,8)' for player in ('generator', 'discriminator')]
NARROW = ['--config.game.generator.channels=(16,8)', '--config.game.discriminator.channels=(8,8)']


def counts(row):
  (stage,) = runs.stages_of(config_lib.load(row))
  state = runs.abstract_state((stage,), 0, KEY)
  return tuple(summary.count(state.players[name].params) for name in ('generator', 'discriminator'))


@pytest.mark.parametrize('row', few(COUNTS, lambda row: row == next(iter(COUNTS))))
def test_parameter_counts_are_the_papers(row):
  found = counts(row)
  assert all(wanted in (None, number) for number, wanted in zip(found, COUNTS[row], strict=True)), found
  if row.endswith('deep'):
    size = int(row.removesuffix('_deep')[-3:])
    last = 128 * 9 * (128 - 3) + 128 - 3
    assert round((found[0] + last) / 1e5) == round(PUBLISHED_DEEP[size] / 1e5)


def test_of_the_papers_table_1_each_line_can_be_left_out():
  config = config_lib.load('configs/biggan.py:digits')
  size = lambda *arguments: counts_of(config_lib.override(config.copy_and_resolve_references(), [*NARROW, *arguments]))

  def counts_of(config):
    (stage,) = runs.stages_of(config)
    return summary.count(runs.abstract_state((stage,), 0, KEY).players['generator'].params)

  whole = size()
  flat = size('--config.game.generator.hierarchical=False')
  # 40 latents: all to the 4 x 4 map of 16 channels in place of 20; none in four vectors of 20 (gains and biases).
  assert flat - whole == 20 * 16 * 16 - 2 * 20 * (16 + 8)
  alone = size('--config.game.generator.hierarchical=False', '--config.game.generator.embedding=0')
  # Ten gains and biases in place of 128 rows for each, and no table of embeddings.
  assert alone - flat == 2 * (10 - 128) * (16 + 8) - 10 * 128
  with pytest.raises(UserError, match='hierarchical=False'):
    size('--config.game.generator.embedding=0')
  with pytest.raises(UserError, match='multiple of 2'):
    size('--config.game.latents.z.shape=(41,)')
  weighed = config_lib.override(config, ['--config.optimizers.generator.links[0].weight=0.0'])
  assert weighed.optimizers.generator.links[0]['weight'] == 0 and config_lib.from_json(config_lib.to_json(weighed))


@pytest.mark.slow
def test_without_classes_the_norms_take_the_latents_alone():
  for network, vector in ((biggan.Generator, 3), (biggan.DeepGenerator, 6)):
    some = network((16, 8), classes=0, attention=(8,))
    z = jax.random.normal(KEY, (2, 6))
    variables = jax.jit(lambda z, some=some: some.init(KEY, z, train=True))(z)
    image = jax.jit(lambda variables, z, some=some: some.apply(variables, z, train=False))(variables, z)
    assert image.shape == (2, 8, 8, 3) and jnp.abs(image[0] - image[1]).max() > 1e-6
    gains = {x.shape[0] for path, x in jax.tree.leaves_with_path(variables['params']) if "'gain'" in str(path)}
    assert gains == {vector} and 'shared' not in variables['params']
  with pytest.raises(UserError, match='norms have no input'):
    biggan.Generator((16, 8), classes=0, hierarchical=False).init(KEY, z, train=True)


def test_labels_and_classes_go_together():
  z, x, label = jnp.zeros((2, 6)), jnp.zeros((2, 8, 8, 3)), jnp.zeros(2, int)
  for network, given, classes in ((sngan.Generator, z, 0), (sngan.Discriminator, x, 0), (biggan.Generator, z, 3)):
    channels = {'channels': (8, 8), 'classes': classes}
    with pytest.raises(UserError, match='classes=' + str(classes)):
      network(**channels).init(KEY, given, *(() if classes else (label,)), train=True)


def test_attention_is_where_a_block_ends():
  z, x, label = jnp.zeros((2, 6)), jnp.zeros((2, 16, 16, 3)), jnp.zeros(2, int)
  networks = [
    (kind, given, dict(channels=(8, 8, 8), classes=3, **more))
    for kind, given, more in (
      (sngan.Generator, z, {}), (biggan.Generator, z, {}), (biggan.DeepGenerator, z, {}),
      (sngan.Discriminator, x, {'halvings': 1}), (biggan.DeepDiscriminator, x, {'halvings': 1}),
    )
  ]  # fmt: skip
  for kind, given, settings in networks:
    made = lambda *at, kind=kind, given=given, settings=settings: jax.eval_shape(
      lambda: kind(**settings, attention=at).init(KEY, given, label, train=True)
    )
    assert 'attention_8' in made(8)['params']

    # A pair of BigGAN's that 8 x 8 maps do not reach, and the authors' own 64, which their code has at every size.
    def applied(train, kind=kind, given=given, settings=settings, variables=made(8, 32)):
      network = kind(**settings, attention=(8, 32))
      apply = lambda variables: network.apply(variables, given, label, train=train, mutable=True)
      return jax.eval_shape(apply, variables)

    applied(train=False)  # a run from before is sampled
    with pytest.raises(UserError, match=r'attention=\(8, 32\), but the maps behind its blocks are \(8,.* or set it to'):
      applied(train=True)
    assert not any('attention' in name for name in made(64)['params'])


def test_shares_of_classes_are_between_the_classes():
  network = biggan.Generator((16, 8), classes=3, attention=(8,), embedding=5)
  z = jax.random.normal(KEY, (3, 4))
  variables = jax.jit(lambda z: network.init(KEY, z, jnp.arange(3), train=True))(z)
  made = jax.jit(lambda variables, label: network.apply(variables, z, label, train=False))
  make = lambda label: made(variables, label)
  np.testing.assert_allclose(make(jnp.eye(3)), make(jnp.arange(3)), atol=1e-6)
  half = make(jnp.full((3, 3), 1 / 3))
  table = variables['params']['shared']['weights']['kernel']
  mean = jnp.broadcast_to(table.mean(0), table.shape)
  middle = {**variables, 'params': {**variables['params'], 'shared': {'weights': {'kernel': mean}}}}
  np.testing.assert_allclose(half, made(middle, jnp.arange(3)), atol=1e-6)


def test_sngan_blocks_grow_in_the_second_convolution_and_wide_ones_in_the_first():
  x = jnp.zeros((2, 8, 8, 3))
  for wide, width in ((False, 8), (True, 16)):
    network = sngan.Discriminator((8, 16), 1, wide=wide)
    params = jax.eval_shape(lambda network=network: network.init(KEY, x, train=True))['params']['block_1']
    assert params['conv_1']['weights']['kernel'].shape == (3, 3, 8, width)
    assert params['conv_2']['weights']['kernel'].shape == (3, 3, width, 16)


def test_nothing_keeps_attention_maps_in_training():
  config = config_lib.override(config_lib.load('configs/sagan.py:digits'), [*NARROW, '--config.batch_size=4'])
  (stage,) = runs.stages_of(config)
  state = runs.abstract_state((stage,), 0, KEY)
  mesh = parallel.make_mesh(1)
  after, _ = jax.eval_shape(runs.make_step(stage, mesh), state, runs.abstract_feed(stage, mesh), KEY)
  assert jax.tree.structure(after) == jax.tree.structure(state)
  assert all('intermediates' not in player.variables for player in after.players.values())


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  row, workdir = 'configs/biggan.py:digits', str(tmp_path_factory.mktemp('biggan') / 'run')
  untrained.run('--config', row, *shrunk(row), '--config.devices=2', '--workdir', workdir)
  return gan_jax.load(workdir)


def test_a_truncated_sample_has_truncated_latents_and_the_same_classes(run):
  drawn, cut = run.latents(200, seed=4), run.latents(200, seed=4, truncation=0.5)
  np.testing.assert_array_equal(drawn['label'], cut['label'])
  assert np.abs(drawn['z']).max() > 3 and 0.49 < np.abs(cut['z']).max() <= 0.5
  np.testing.assert_array_equal(
    run.sample(5, seed=4, truncation=0.5), run.generate(run.latents(5, seed=4, truncation=0.5), seed=4)
  )
  with pytest.raises(UserError, match='works only on Normal latents'):
    latents_lib.truncated(latents_lib.Uniform((3,)), 0.5)
  inner = {'z': latents_lib.Uniform((3,)), 'levels': {'low': latents_lib.Normal((2,)), 'label': latents_lib.Label(3)}}
  assert latents_lib.truncated(inner, 0.5)['levels'] == {
    'low': latents_lib.Truncated((2,), 0.5), 'label': latents_lib.Label(3)
  }  # fmt: skip


class Normed(nn.Module):
  """A generator of one dense layer and a batch norm of some momentum."""

  momentum: float

  @nn.compact
  def __call__(self, z, label, *, train):
    x = nn.Dense(16, name='dense')(z)
    return PlainBatchNorm(self.momentum, name='normal')(x, train=train).reshape(-1, 4, 4, 1)


@pytest.mark.parametrize('momentum', [pytest.param(0.9, marks=pytest.mark.slow), 0.5])
def test_standing_statistics_are_means_over_batches(run, momentum):
  latents = {'z': latents_lib.Normal((5,)), 'label': latents_lib.Label(10)}
  game = Standard(Normed(momentum), sngan.Discriminator((8,), 1, 10), latents)
  images = {'image': jnp.zeros((4, 4, 4, 1)), 'label': jnp.zeros(4, int)}
  batch = {'latents': latents_lib.draw(latents, KEY, 4), 'images': images}
  variables = game.init(dict.fromkeys(('params', 'noise', 'dropout'), KEY), batch, method='discriminator_loss')
  stage = run.stage._replace(game=game, batch_size=32, accumulate=2)
  found = standing.of_stage(stage, variables, 3)['batch_stats']['generator']['normal']['norm']
  weights = variables['params']['generator']['dense']
  draws = [latents_lib.draw(latents, jax.random.fold_in(jax.random.key(0), i), 16)['z'] for i in range(3)]
  maps = [z @ weights['kernel'] + weights['bias'][None] for z in draws]
  np.testing.assert_allclose(found['mean'], np.mean([m.mean(0) for m in maps], 0), atol=1e-5)
  np.testing.assert_allclose(found['var'], np.mean([m.var(0) for m in maps], 0), rtol=1e-4)


def test_standing_statistics_change_samples_and_are_refused_where_there_are_none(run):
  assert np.abs(run.sample(4, standing=2) - run.sample(4)).max() > 1e-3
  np.testing.assert_array_equal(run.sample(4, standing=2), run.sample(4, standing=2))
  result = evaluate.evaluate(run, metrics='fid', samples=70, features='random', truncation=0.5, standing=2)
  assert 'latents within 0.5, statistics of 2 batches' in result.shared['samples']
  game = Standard(mlp.Generator((4,), (4, 4, 1)), dcgan.Discriminator((4, 4), kernel=4), latents_lib.Normal((5,)))
  batch = {'images': {'image': jnp.zeros((4, 4, 4, 1))}, 'latents': jnp.zeros((4, 5))}
  variables = game.init(dict.fromkeys(('params', 'noise', 'dropout'), KEY), batch, method='discriminator_loss')
  assert 'batch_stats' in variables  # of the discriminator, which makes no samples
  with pytest.raises(UserError, match='no batch statistics'):
    standing.of_stage(run.stage._replace(game=game), variables, 2)
  (ring,) = runs.stages_of(config_lib.load('configs/gan.py:ring'))
  with pytest.raises(UserError, match='no batch statistics'):
    standing.of_stage(ring, {'params': {}}, 2)

  class Bare(Standard):
    def sample(self, batch):
      return batch

  game = Bare(*(None,) * 2)
  assert 'train' not in inspect.signature(game.sample).parameters
  with pytest.raises(UserError, match='takes no argument `train`'):
    standing.of_stage(run.stage._replace(game=game), {'batch_stats': {}}, 2)


def test_attention_maps_are_shares_of_what_is_seen(run):
  maps = run.attention(run.latents(3))
  assert {name: weights.shape for name, weights in maps.items()} == {'generator_attention_8': (3, 64, 16)}
  np.testing.assert_allclose(maps['generator_attention_8'].sum(-1), 1, atol=1e-5)


@pytest.mark.slow
def test_pictures_and_flags_of_the_command(run, tmp_path, capsys):
  command = lambda *rest: sample.command.main(
    sample._define, sample._run, sample.__doc__, ['--workdir', str(run.workdir), *rest]
  )
  for name in ('between_classes', 'attention', 'classes'):
    command(f'--picture={name}', '--truncation=0.7', '--out', str(tmp_path / f'{name}.png'))
  command('--truncation=0.5', '--standing=2', '--count=4', '--out', str(tmp_path / 'grid.png'))
  command('--truncation=0.5', '--standing=2', '--count=4', '--out', str(tmp_path / 'grid.npz'))
  expected = run.sample(4, truncation=0.5, standing=2)
  assert all(np.abs(expected - run.sample(4, **other)).max() > 1e-3 for other in ({'truncation': 0.5}, {'standing': 2}))
  np.testing.assert_array_equal(np.load(tmp_path / 'grid.npz')['samples'], expected)
  names = {'between_classes', 'attention_generator_attention_8', 'classes', 'grid'}
  assert {path.stem for path in tmp_path.glob('*.png')} == names
  capsys.readouterr()
  with pytest.raises(SystemExit):
    command('--standing=2', '--picture=classes')
  assert '--standing with --picture=classes' in capsys.readouterr().err


def test_without_imagenet_the_default_names_what_runs_anywhere(tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  with pytest.raises(SystemExit):
    main.main(
      ['--config', 'configs/biggan.py', '--config.batch_size=8', *NARROW128, '--workdir', str(tmp_path / 'run')]
    )
  (line,) = capsys.readouterr().err.strip().splitlines()
  assert "'imagenet2012' is not prepared" in line and 'the variant digits of a config' in line


def authors_names(like):
  """Random tensors under the names that the first author's BigGANdeep.py gives its discriminator of two stages."""
  random, tensors = np.random.RandomState(0), {}
  layers = {'input_conv': ('start',), 'linear': ('head', 'logit'), 'embed': ('head', 'classes')}
  for stage in range(2):
    for place, block in enumerate((f'block_{stage}_first', f'block_{stage}_same')):
      for theirs, ours in [*((f'conv{i}', f'conv_{i}') for i in range(1, 5)), ('conv_sc', 'shortcut')]:
        layers[f'blocks.{stage}.{place}.{theirs}'] = (block, ours)
  layers |= {f'blocks.0.2.{part}': ('attention_8', part) for part in ('theta', 'phi', 'g', 'o')}
  for theirs, ours in layers.items():
    node = like['params']
    for part in ours:
      node = node.get(part, {})
    if 'weights' not in node:  # a shortcut that adds no channels
      continue
    shape = node['weights']['kernel'].shape
    shape = shape if theirs == 'embed' else (shape[-1], shape[-2], *shape[:-2])
    tensors[f'{theirs}.weight'] = random.standard_normal(shape).astype(np.float32)
    tensors[f'{theirs}.u0'] = random.standard_normal((1, shape[0])).astype(np.float32)
    if 'bias' in node:
      tensors[f'{theirs}.bias'] = random.standard_normal(shape[0]).astype(np.float32)
  return tensors | {'blocks.0.2.gamma': np.float32(0.5)}


def test_the_authors_deep_discriminator_is_read_by_its_names():
  network = biggan.DeepDiscriminator((8, 16, 16), 1, classes=3, attention=(8,))
  given = jnp.zeros((1, 16, 16, 3)), jnp.zeros(1, int)
  like = jax.eval_shape(lambda: network.init(jax.random.key(0), *given, train=True))
  tensors = authors_names(like)
  found = published.biggan.variables_of(tensors, like)
  for block, name in (('block_0_same', 'blocks.0.1'), ('block_1_first', 'blocks.1.0'), ('attention_8', 'blocks.0.2')):
    part, layer = ('theta', 'theta') if 'attention' in block else ('conv_2', 'conv2')
    expected = np.moveaxis(tensors[f'{name}.{layer}.weight'], (0, 1), (-1, -2))
    np.testing.assert_array_equal(found['params'][block][part]['weights']['kernel'], expected)
  assert found['params']['attention_8']['gamma'] == 0.5


def test_tables_of_gains_are_read_as_they_lie_and_with_their_1():
  """nn.Embedding(4, 4): turned over it would fit."""
  network = biggan.Generator((4, 4), 4, (), embedding=0, hierarchical=False, weights='plain')
  given = jnp.zeros((1, 5)), jnp.zeros(1, int)
  like = jax.eval_shape(lambda: network.init(jax.random.key(0), *given, train=True))
  random = np.random.RandomState(0)
  shapes = {'linear': (64, 5), 'output_layer.2': (3, 4, 3, 3), 'blocks.0.0.conv_sc': (4, 4, 1, 1)}
  shapes |= {f'blocks.0.0.conv{i}': (4, 4, 3, 3) for i in (1, 2)}
  tensors = {f'{name}.bias': random.standard_normal(shape[0]) for name, shape in shapes.items()}
  shapes |= {f'blocks.0.0.bn{i}.{part}': (4, 4) for i in (1, 2) for part in ('gain', 'bias')}
  tensors |= {f'{name}.weight': random.standard_normal(shape) for name, shape in shapes.items()}
  norms = ('blocks.0.0.bn1', 'blocks.0.0.bn2', 'output_layer.0')
  tensors |= {f'{norm}.stored_{part}': np.ones(4) for norm in norms for part in ('mean', 'var')}
  tensors |= {f'output_layer.0.{part}': np.ones(4) for part in ('gain', 'bias')}
  norm = published.biggan.variables_of(tensors, like)['params']['block_0']['norm_2']
  np.testing.assert_allclose(norm['gain']['weights']['kernel'], 1 + tensors['blocks.0.0.bn2.gain.weight'], rtol=1e-6)
  np.testing.assert_allclose(norm['bias']['weights']['kernel'], tensors['blocks.0.0.bn2.bias.weight'], rtol=1e-6)


@pytest.mark.parametrize(
  'network', [biggan.DeepGenerator((4, 4), 3, embedding=0), r3gan.Generator((4,), (1,), 2, classes=3, embedding=0)]
)
def test_a_generator_of_classes_without_an_embedding_is_refused(network):
  with pytest.raises(UserError, match=r'classes=3 .* embedding=0: it would not see them'):
    network.init(KEY, jnp.zeros((2, 4)), label=jnp.zeros(2, int), train=True)


@pytest.mark.parametrize('network', [stylegan2.Discriminator(8, (4, 4, 4)), progressive.Discriminator(8, (4, 4, 4))])
def test_a_discriminator_of_another_resolution_is_refused(network):
  for size in (4, 16):
    with pytest.raises(UserError, match=f'has resolution=8, the images {size}x{size}: set'):
      jax.eval_shape(lambda x: network.init(KEY, x, train=True), jnp.zeros((4, size, size, 1)))
