"""SeqGAN: a generator of symbols, whose draws have no gradient, learns by policy gradient from the discriminator.

Paper: Yu et al. 2017, https://arxiv.org/abs/1609.05473; settings of the authors' code (LantaoYu/SeqGAN).
Command: python -m gan_jax.main --config configs/seqgan.py --workdir runs/seqgan

  oracle      sequences of 20 of 5,000 symbols that an LSTM with random weights says; the default. Unmeasured.
  oracle_500  20 of 500 symbols, a quarter as many filters, short: three minutes of a core. See docs/results.md.
  captions    a text file, a caption a line: --config.data.path=FILE; by words. See docs/results.md.
  digits      8 of 20 symbols: 1:30 on one core. 2.24 nats a token by the oracle, whose own have 1.75.

Then python -m gan_jax.evaluate --workdir runs/seqgan; for sentences,
python -m gan_jax.sample --workdir runs/seqgan --format=text --out=sentences. Maximum likelihood alone is the first
stage: --config.stages="({'steps': 18720, 'game': {'phase': 'likelihood'}},)"

differs: a move of the discriminator takes a batch of data and as many new sequences; the authors draw 10,000 sequences
  at a time, and go through them and the data three times, 64 of both kinds in a move. `oracle` moves it as often, so it
  sees twice as many.
differs: the weights of the oracle are drawn anew from the authors' distribution. Sequences of its own have other nats a
  token than theirs: compare `oracle_nll` with `oracle_nll_real`, not with the paper's.
differs: the discriminator has one logit, the authors' two, with half the weight of the decay. The difference of theirs
  begins 1.4 times as large, without a bias, and moves twice as far.
differs: the copy that completes sequences follows slowly, as in the paper. In the authors' code its averages are never
  read: each sequence is completed by the generator as it is (--config.game.rollout_rate=0.0).
differs: biases of the highway begin at 0, the authors' uniform within 0.04.
differs: in oracle_500, captions and digits rewards have a baseline, where the authors' have none; the generator's rate
  is 0.001 where rewards train it, the discriminator's 0.001, because it moves so much less often.
differs: maximum likelihood goes through the sequences in a new order each epoch, the authors' always in the same; there
  are 10,000 of the oracle, theirs fill batches of 64, 9,984.
differs: captions have no code of the authors; words are of letters and digits, without full stops.
differs: oracle_500, captions and digits are ours: sizes, lengths, moves of the discriminator and rollouts.
"""

from gan_jax import config as config_lib

VARIANTS = ('oracle', 'oracle_500', 'captions', 'digits')
WINDOWS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
CHANNELS = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
#: Symbols; their number in a sequence; entries of G's vectors and state, of D's vectors; windows and channels of D.
SIZES = {
  'oracle': (5000, 20, 32, 64, WINDOWS, CHANNELS),
  'oracle_500': (500, 20, 32, 32, (1, 2, 3, 4, 5, 10, 20), (25, 50, 50, 50, 50, 25, 40)),
  'captions': (5002, 20, 64, 64, WINDOWS[:8], CHANNELS[:8]),
  'digits': (20, 8, 16, 16, (1, 2, 3, 4), (16, 32, 32, 16)),
}
#: Steps of maximum likelihood, of D alone, of both; moves of D after one of G; rollouts.
LENGTHS = {
  'oracle': (120 * 156, 50 * 3 * 312, 200, 5 * 3 * 312, 16),
  'oracle_500': (6_000, 2_000, 300, 15, 4),
  'captions': (10_000, 2_000, 200, 15, 4),
  'digits': (1_000, 1_000, 150, 5, 8),
}


def get_config(variant):
  vocabulary, length, hidden, units, windows, channels = SIZES[variant]
  likelihood, judge, both, judge_moves, rollouts = LENGTHS[variant]
  authors = variant == 'oracle'
  clipped = lambda limit, rate: dict(
    name='chain',
    links=(
      dict(name='optax.clip_by_global_norm', max_norm=limit),
      dict(name='optax.adam', learning_rate=rate),
    ),
  )
  # The authors clip the gradient of a sum over 64 sequences at 5: that of the mean at 5 / 64.
  by_reward = clipped(5.0 / 64, 0.01 if authors else 0.001)
  adam = dict(name='optax.adam', learning_rate=1e-4 if authors else 1e-3)
  return config_lib.base(
    game=dict(
      name='seqgan.SeqGAN',
      phase='adversarial',
      rollouts=rollouts,
      rollout_rate=0.8,
      baseline=not authors,
      decay=0.1,
      generator_steps=1,
      discriminator_steps=judge_moves,
      latents=dict(name='Uniform', shape=(length,), low=0.0, high=1.0),
      generator=dict(name='seqgan.Generator', vocabulary=vocabulary, units=hidden, hidden=hidden),
      discriminator=dict(
        name='seqgan.Discriminator',
        vocabulary=vocabulary,
        units=units,
        windows=windows,
        channels=channels,
        dropout=0.25,
      ),
    ),
    optimizers=dict(generator=clipped(5.0, 0.01), discriminator=adam),
    data=_data(variant, vocabulary, length),
    batch_size=64,
    stages=(
      dict(steps=likelihood, game=dict(phase='likelihood')),
      dict(steps=judge, game=dict(phase='discriminator', discriminator_steps=1)),
      dict(steps=both, optimizers=dict(generator=by_reward), reset=dict(optimizer=('generator',))),
    ),
    log_every=10,
    sample_every=0,
    checkpoint_every=max(both // 4, 1),
    samples=16,
  )


def _data(variant, vocabulary, length):
  if variant == 'captions':
    text = dict(name='Text', column='text', length=length, level='words', vocabulary=vocabulary - 2, captions=1)
    return config_lib.stream(name='lines', path='captions.txt', size=length, columns=dict(tokens=text))
  return config_lib.stream(name=f'oracle/{vocabulary}x{length}', size=length, columns=dict(tokens=dict(name='Array')))
