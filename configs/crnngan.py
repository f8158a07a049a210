"""C-RNN-GAN: music, tone after tone, by a recurrent generator and a recurrent discriminator that hears both ways.

Paper: Mogren 2016, https://arxiv.org/abs/1611.09904; settings of the authors' code (olofmogren/c-rnn-gan).
Command: python -m gan_jax.main --config configs/crnngan.py --config.data.path=FOLDER --workdir runs/crnngan

  classical  windows of 100 tones of the MIDI files below FOLDER, LSTMs of 350 as in the paper; the default. Needs mido
             (the extra `music`). Melodies with LSTMs of 100: docs/results.md.
  digits     20 tones of melodies that are made, LSTMs of 32: needs no download. 1 minute; collapses to one melody, with
             either loss (docs/results.md).

The generator's loss is that of the discriminator's features with --config.game.feature_matching=True, as in the
authors' one command; the default is that of their flag.

Then python -m gan_jax.evaluate --workdir runs/crnngan, and files:
python -m gan_jax.sample --workdir runs/crnngan --format=midi --count=10 --out=music. Maximum likelihood alone:
--config.stages="({'steps': 10000, 'game': {'pretraining': True}},)"

differs: pitches are MIDI's numbers, the authors' frequencies; all four numbers are brought to 0 to 127, times up to
  four quarters, where the authors' are as they are (pitches in hertz, times in ticks).
differs: windows of a piece do not overlap and are the same in all epochs, so that a long piece counts more; the authors
  draw one from each piece in an epoch.
differs: sequences are whole from the first step of pre-training on; the authors' grow by four tones an epoch.
differs: the ratio of the losses is measured anew in every step, without their weight decay, and the generator never
  rests. The authors take the step's before, with the decay, which is most of it at first: both move while both losses
  are 2 or more; else the generator rests, and the discriminator too where its loss is under 0.7 of the generator's.
differs: feature matching compares means of the batch; the authors' code compares example by example, and sums over the
  batch too.
differs: tones of one beginning are in the order of their pitches, in the authors' code in that of the file. A tone that
  is struck again ends; theirs sound on until the next end of that pitch. Every tenth file is held out, theirs by name.
differs: `classical` has the paper's width, the authors' code has 100; an epoch is taken as 100 steps, and there are
  200; the authors' code has 500.
differs: the L2 loss has the weight 1e-4, the authors' 0.1, which moves little beside errors of pitches in hertz. It is
  of the generator alone; in their code of the discriminator too from the second epoch on, when the graph is built anew.
differs: the discriminator moves, then the generator on latents of its own; in the authors' code both at once, on the
  same.
differs: samples are drawn without dropout, the authors' with it; percussion is left out; the first state of
  pre-training is zero, theirs that of the free run before.
differs: digits is ours: sizes and lengths.
"""

from gan_jax import config as config_lib

VARIANTS = ('classical', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  length, hidden = (20, 32) if digits else (100, 350)
  clipped = lambda rate, *before: dict(
    name='chain',
    links=(
      *before,
      dict(name='optax.clip_by_global_norm', max_norm=5.0),
      dict(name='optax.sgd', learning_rate=rate),
    ),
  )
  # An L2 loss of the generator's weights, clipped together with the rest of the gradient.
  decayed = dict(name='optax.add_decayed_weights', weight_decay=1e-4)
  columns = dict(tones=dict(name='Tones', length=length))
  steps, before = (2_000, 500) if digits else (20_000, 600)
  return config_lib.base(
    game=dict(
      name='crnngan.CRNNGAN',
      latents=dict(name='Uniform', shape=(length + 1, 4), low=0.0, high=1.0),
      generator=dict(name='crnngan.Generator', hidden=hidden, layers=2, dropout=0.5),
      discriminator=dict(name='crnngan.Discriminator', hidden=hidden, layers=2, dropout=0.5),
      pretraining=False,
      feature_matching=False,
      rest=0.7,
      scale=127.0,
    ),
    optimizers=dict(generator=clipped(0.1, decayed), discriminator=clipped(0.05)),
    data=config_lib.stream(
      name='melodies' if digits else 'midi', size=length, path='' if digits else 'classical/', columns=columns
    ),
    batch_size=20,
    stages=(dict(steps=before, game=dict(pretraining=True)), dict(steps=steps)),
    log_every=100,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
    samples=4,
  )
