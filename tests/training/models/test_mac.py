"""MAC against its formulas written out in loops: the notes on the study (section 1.3) and on its options (2.3)."""

import math
from dataclasses import replace

import pytest
import torch

from training.attention.config import AttentionConfig
from training.models.mac import Mac
from training.models.mac_attention import UnitAttention
from training.models.mac_config import MacConfig
from training.models.mac_inputs import box_geometry

DIM, WORDS, ANSWERS, FEATURE = 8, 11, 5, 6
SMALL = MacConfig(steps=3, dim=DIM, word_dim=4, classifier=(7,))
VARIANTS = [
    AttentionConfig("elementwise"), AttentionConfig("dot"), AttentionConfig("scaled_dot"), AttentionConfig("cosine"),
    *(AttentionConfig(score, side=side) for score in ("general", "biased_general") for side in ("key", "query")),
    *(AttentionConfig("activated_general", side=side, activation=act)
      for side, act in (("key", "relu"), ("query", "relu"), ("key", "tanh"), ("query", "sigmoid"))),
    AttentionConfig("additive"), AttentionConfig("concat"),
]
NAMES = [f"{v.score}-{v.side}-{v.activation}" for v in VARIANTS]


def model(config=SMALL, attention=VARIANTS[0], grid=None, seed=0):
    torch.manual_seed(seed)
    made = Mac(config, attention, FEATURE, WORDS, ANSWERS, grid).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():  # biases, too, and nothing at zero
            parameter.copy_(torch.randn_like(parameter) * 0.5)
        made.encoder.embed.weight[0] = 0
    return made


def inputs(cells=(5, 3), words=(6, 4), seed=1):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(cells), max(cells), FEATURE, generator=generator).to(torch.float16)
    boxes = torch.rand(len(cells), max(cells), 5, generator=generator)
    mask = torch.arange(max(cells)) < torch.tensor(cells)[:, None]
    tokens = torch.randint(1, WORDS, (len(words), max(words)), generator=generator)
    return features, boxes.double(), mask, tokens, torch.tensor(words)


# --- the formulas, one number at a time ---

def linear(layer, x):
    w, b = layer.weight.tolist(), [0.0] * len(layer.weight) if layer.bias is None else layer.bias.tolist()
    return [sum(a * c for a, c in zip(row, x, strict=True)) + d for row, d in zip(w, b, strict=True)]


def norm(layer, x):
    mean = sum(x) / len(x)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    w, b = layer.weight.tolist(), layer.bias.tolist()
    return [(v - mean) / deviation * w[i] + b[i] for i, v in enumerate(x)]


def elu(x):
    return [v if v > 0 else math.exp(v) - 1 for v in x]


def softmax(scores):
    top = max(scores)
    powers = [math.exp(s - top) for s in scores]
    return [p / sum(powers) for p in powers]


def weighted(weights, rows):
    return [sum(w * row[i] for w, row in zip(weights, rows, strict=True)) for i in range(len(rows[0]))]


ACTS = {"relu": lambda v: max(v, 0.0), "tanh": math.tanh, "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
        "leaky_relu": lambda v: v if v > 0 else 0.01 * v}


def interaction(unit, variant, query, key):
    """Section 1.3: q is the control, k a word or a cell after its interaction with memory."""
    if variant.score in ("additive", "concat"):
        if variant.score == "additive":
            joined = [a + b for a, b in zip(linear(unit.score.query, query), linear(unit.score.key, key), strict=True)]
        else:
            joined = linear(unit.score.project, query + key)
        return [math.tanh(v) for v in joined]
    if variant.score == "cosine":
        query, key = ([v / math.sqrt(sum(u * u for u in x)) for v in x] for x in (query, key))
    if "general" in variant.score:
        query, key = (linear(unit.score.project, query), key) if variant.side == "query" else (
            query, linear(unit.score.project, key))
    product = [a * b for a, b in zip(query, key, strict=True)]
    if variant.score == "scaled_dot":
        product = [v / math.sqrt(len(product)) for v in product]
    if variant.score == "activated_general":
        product = [ACTS[variant.activation](v) for v in product]
    return product


def score(unit, variant, combiner, query, key, act=None):
    vector = interaction(unit, variant, query, key)
    vector = act(vector) if act else vector
    learned = combiner == "linear" or variant.score in ("elementwise", "additive", "concat")
    return linear(unit.combine, vector)[0] if learned else sum(vector)


def reference(mac, control_variant, read_variant, features, boxes, mask, tokens, lengths, sample):
    """Logits, control weights and read weights of one question, without its padding."""
    config, count = mac.config, int(lengths[sample])
    rnn = torch.nn.LSTM(config.word_dim, DIM // 2, batch_first=True, bidirectional=True).double()
    rnn.load_state_dict(mac.encoder.rnn.state_dict())
    states, (last, _) = rnn(mac.encoder.embed.weight[tokens[sample, :count]].unsqueeze(0))
    words, question = states[0].tolist(), last[:, 0].flatten().tolist()
    base = []
    for cell in range(int(mask[sample].sum())):
        stem = mac.stem
        x = elu([a + b for a, b in zip(
            norm(stem.norm_features, linear(stem.features, features[sample, cell].double().tolist())),
            norm(stem.norm_boxes, linear(stem.boxes, boxes[sample, cell].tolist())), strict=True)])
        for layer in stem.layers:
            x = elu(linear(layer, x))
        base.append(x)
    memory, before = mac.first_memory.tolist(), question
    controls, reads = [], []
    for step in range(config.steps):
        wanted = linear(mac.control.step[step], [math.tanh(v) for v in linear(mac.control.question, question)])
        if config.feed_control:
            wanted = linear(mac.control.merge, before + wanted)
        unit = mac.control.attention
        weights = softmax([score(unit, control_variant, config.control_combiner, wanted, word) for word in words])
        controls.append(weights)
        control = before = weighted(weights, words)
        projected = linear(mac.read.memory, memory)
        scores = []
        for cell in base:
            own = linear(mac.read.cell, cell)
            joined = elu(linear(mac.read.join, [a * b for a, b in zip(own, projected, strict=True)] + own))
            if config.memory_layers == 2:
                joined = linear(mac.read.after, joined)
            unit = mac.read.attention
            scores.append(score(unit, read_variant, config.read_combiner, control, joined, elu))
        weights = softmax(scores)
        reads.append(weights)
        memory = linear(mac.write.merge, memory + weighted(weights, base))
    asked = linear(mac.question, question) if config.output_question else []
    product = [a * b for a, b in zip(memory, asked, strict=True)] if config.output_product else []
    x = memory + asked + product
    for number, layer in enumerate(mac.classifier):
        x = linear(layer, x)
        x = elu(x) if number + 1 < len(mac.classifier) else x
    return x, controls, reads


def agree(mac, control_variant, read_variant):
    given = inputs()
    with torch.no_grad():
        out = mac(*given)
    assert out.control.shape == (2, 1, mac.config.steps, 6) and out.read.shape == (2, 1, mac.config.steps, 5)
    for sample in range(2):
        logits, controls, reads = reference(mac, control_variant, read_variant, *given, sample)
        words, cells = int(given[4][sample]), int(given[2][sample].sum())
        for got, expected in ((out.logits[sample], logits), (out.control[sample, 0, :, :words], controls),
                              (out.read[sample, 0, :, :cells], reads)):
            assert torch.allclose(got, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)
        assert out.control[sample, 0, :, words:].eq(0).all() and out.read[sample, 0, :, cells:].eq(0).all()


@pytest.mark.parametrize("combiner", ["linear", "sum"])
@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_every_score_and_combiner_equals_the_formulas(variant, combiner):
    agree(model(replace(SMALL, control_combiner=combiner, read_combiner=combiner), variant), variant, variant)


@pytest.mark.parametrize("unit", ["control", "read"])
def test_the_score_can_be_changed_in_one_unit_alone(unit):
    variant, other = VARIANTS[4], AttentionConfig("scaled_dot")
    mac = model(replace(SMALL, attention_in=unit, other=other), variant)
    agree(mac, *((variant, other) if unit == "control" else (other, variant)))


@pytest.mark.parametrize("options", [{"feed_control": True}, {"memory_layers": 1}, {"output_question": False},
                                     {"output_product": True},
                                     {"control_combiner": "sum"}, {"classifier": ()}, {"stem_layers": 1}])
def test_every_option_equals_the_formulas(options):
    agree(model(replace(SMALL, **options), VARIANTS[5]), VARIANTS[5], VARIANTS[5])


def test_published_names_put_w_on_the_other_side_of_the_control_unit():
    """In its control unit the study's qwk has W on the control, in its read unit on the cells."""
    flipped = model(replace(SMALL, published_control_side=True), AttentionConfig("biased_general", side="key"))
    agree(flipped, AttentionConfig("biased_general", side="query"), AttentionConfig("biased_general", side="key"))


@pytest.mark.parametrize("score_name", ["dot", "scaled_dot", "cosine", "general", "biased_general", "additive"])
def test_the_plain_sum_gives_the_catalogues_score(score_name):
    from training.attention.scores import build_score

    torch.manual_seed(0)
    unit = UnitAttention(DIM, AttentionConfig(score_name), "sum").double()
    catalogue = build_score(AttentionConfig(score_name), DIM).double()
    catalogue.load_state_dict(unit.score.state_dict())
    query, keys = torch.randn(3, DIM).double(), torch.randn(3, 7, DIM).double()
    weights = unit(query, keys, torch.ones(3, 7, dtype=torch.bool))
    expected = torch.softmax(catalogue(query.unsqueeze(1), keys), -1).squeeze(1)
    assert torch.allclose(weights, expected, atol=1e-12)


def test_biases_that_are_the_same_for_every_key_change_nothing():
    """Section 1.4: in the control unit the bias on the word's side adds w.(c * b), in the read unit ELU keeps it."""
    for side, unit, same in (("key", "control", True), ("query", "control", False), ("key", "read", False)):
        outputs = []
        for bias in (0.0, 1.0):
            mac = model(replace(SMALL, attention_in=unit), AttentionConfig("biased_general", side=side))
            with torch.no_grad():
                getattr(mac, unit).attention.score.project.bias.fill_(bias)
                outputs.append(mac(*inputs()).logits)
        assert torch.allclose(*outputs, atol=1e-9) == same


@pytest.mark.parametrize("grid", [None, (2, 3)])
def test_padding_has_no_influence(grid):
    mac = model(grid=grid)
    features, boxes, mask, tokens, lengths = inputs((6, 6), (6, 4)) if grid else inputs()
    with torch.no_grad():
        alone = mac(features[1:, :int(mask[1].sum())], boxes[1:, :int(mask[1].sum())], mask[1:, :int(mask[1].sum())],
                    tokens[1:, :4], lengths[1:])
        tokens[1, 4:] = 9
        features[~mask] = float("nan")
        boxes[~mask] = float("inf")
        together = mac(features, boxes, mask, tokens, lengths)
    assert torch.allclose(alone.logits[0], together.logits[1], atol=1e-9)


def test_an_image_with_nothing_in_it_and_one_word_are_answered():
    mac = model()
    features, boxes, mask, tokens, lengths = inputs((3, 0), (2, 1))
    out = mac(features, boxes, mask, tokens, lengths)
    assert out.logits.isfinite().all() and out.read[1].eq(0).all() and out.control[1, 0, :, 0].eq(1).all()
    out.logits.sum().backward()
    assert all(p.grad.isfinite().all() for p in mac.parameters() if p.grad is not None)


@pytest.mark.parametrize("grid", [None, (2, 3)])
@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_gradients_reach_every_weight(variant, grid):
    mac = model(attention=variant, grid=grid)
    out = mac(*inputs((6, 6)))
    torch.nn.functional.cross_entropy(out.logits, torch.tensor([1, 2])).backward()
    for name, parameter in mac.named_parameters():
        constant = name.endswith("attention.combine.bias")  # the same for every key: a softmax drops it
        constant |= (variant.score, variant.side) == ("biased_general", "key") and name == (
            "control.attention.score.project.bias")
        assert parameter.grad is not None, name
        assert (parameter.grad.abs().max() < 1e-12) == constant or name == "encoder.embed.weight", name


def test_convolutions_see_the_grid_row_by_row():
    mac = model(replace(SMALL, stem_layers=1), grid=(2, 3))
    features = torch.zeros(1, 6, FEATURE)
    features[0, 1, 2] = 1  # row 0, column 1
    with torch.no_grad():
        base = mac.stem(features.double(), torch.zeros(1, 6, 5), torch.ones(1, 6, dtype=torch.bool))
        layer = mac.stem.layers[0]
        for cell, (row, column) in enumerate((r, c) for r in range(2) for c in range(3)):
            seen = layer.weight[:, 2, 1 - row, 2 - column] if abs(1 - column) <= 1 else 0
            assert torch.allclose(base[0, cell], torch.nn.functional.elu(seen + layer.bias), atol=1e-12)


def test_memory_is_dropped_alike_in_all_steps_of_a_question_and_not_in_evaluation():
    mac = model(replace(SMALL, drop_memory=0.5, drop_words=0, drop_stem=0, drop_question=0, drop_read=0,
                        drop_output=0)).train()
    seen = []
    mac.read.memory.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    out = mac(*inputs())
    kept = [x != 0 for x in seen]
    assert len(kept) == 3 and all(torch.equal(kept[0], other) for other in kept) and 0 < kept[0].double().mean() < 1
    assert not torch.equal(kept[0][0], kept[0][1])  # a draw for each question
    assert torch.allclose(seen[0][kept[0]], 2 * mac.first_memory.expand(2, -1)[kept[0]])
    mac.eval()
    assert not torch.equal(out.logits, mac(*inputs()).logits)
    assert torch.equal(mac(*inputs()).logits, mac(*inputs()).logits)


def test_boxes_are_fractions_and_the_share_they_cover():
    boxes = torch.tensor([[[10.0, 20.0, 30.0, 60.0]], [[1.0, 2.0, 3.0, 4.0]]])
    found = box_geometry(boxes, torch.tensor([[100, 80], [0, 0]]))
    assert torch.allclose(found[0, 0], torch.tensor([0.1, 0.25, 0.3, 0.75, 0.1])) and found[1].eq(0).all()


def test_it_begins_as_published():
    torch.manual_seed(0)
    mac = Mac(MacConfig(dim=64), AttentionConfig("biased_general", init="xavier"), 32, 30, 10)
    assert mac.encoder.embed.weight[0].eq(0).all() and 0.99 < mac.encoder.embed.weight.abs().max() <= 1
    lstm = mac.encoder.rnn
    assert lstm.bias_ih_l0.view(4, 32).tolist() == [[0.0] * 32, [1.0] * 32, [0.0] * 32, [0.0] * 32]
    for layer in (mac.write.merge, mac.read.attention.score.project, mac.classifier[0]):
        rows, columns = layer.weight.shape
        limit = math.sqrt(6 / (rows + columns))
        assert layer.bias.eq(0).all() and 0.95 * limit < layer.weight.abs().max() <= limit
    assert 0.8 * math.sqrt(3 / 64) < mac.read.attention.combine.weight.abs().max() <= math.sqrt(3 / 64)
