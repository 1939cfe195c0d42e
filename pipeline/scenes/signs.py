"""Scenes with signs to read: words that are known, words that never were, and numbers."""

from __future__ import annotations

from dataclasses import replace

from pipeline.scenes.draw import LINE_PITCH
from pipeline.scenes.lettering import line_width
from pipeline.scenes.rng import Random
from pipeline.scenes.world import COLOURS, SETTINGS, Scene, SceneObject, Sign, place_object

_WORDS = """
APPLE ARENA BAKERY BANK BARBER BEACH BIKES BOOKS BREAD BRIDGE BUS CAFE CAKE CAMP CANDY CASTLE CHEESE CINEMA CIRCUS
CLOCK CLOSED CLUB COFFEE CORN DAIRY DANCE DENTIST DINER DOCTOR DOGS EAST EGGS ENGINE EXIT FARM FERRY FILMS FISH
FLOWERS FOREST FRUIT FUEL GAMES GARAGE GARDEN GATE GIFTS GRILL GUIDE GYM HARBOUR HATS HONEY HOTEL ICE INN ISLAND
JAZZ JUICE KEYS KITCHEN LAKE LAMPS LIBRARY LIFT LUNCH MAPS MARKET MEDIA MELON METRO MILK MIRROR MOTEL MUSEUM MUSIC
NEWS NORTH OFFICE OPEN OPERA ORGAN PAINT PANCAKE PAPER PARK PASTA PHONE PHOTO PIANO PIER PIZZA POOL PORT POST PUB
QUAY QUIET RADIO RENT REPAIR RIVER ROOMS SALAD SALE SALON SAUNA SCHOOL SHOES SHOP SILK SKI SNACKS SOAP SOUP SOUTH
SPICE SPORT STATION STOP STORE STUDIO SUGAR SURF SWIM TAILOR TAXI TEA TENNIS THEATRE TICKETS TOILET TOWER TOYS TRAIN
TRAM UNION VALLEY VIEW VILLAGE VISIT WATER WEST WINE WOOD WOOL YARD YOGA ZEBRA ZOO
"""
WORDS = tuple(_WORDS.split())
"""Words that signs show again and again, a dictionary's share; the others are made up, and can only be read."""
_ONSETS = ("B", "BR", "D", "F", "FL", "G", "GR", "H", "J", "K", "L", "M", "N", "P", "PL", "R", "S", "ST", "T", "TR",
           "V", "W", "Z")
_VOWELS = ("A", "E", "I", "O", "U")
_ENDS = ("DOR", "FIN", "LEX", "LUX", "MAR", "MEX", "NOVA", "PEL", "QUA", "RAX", "TEX", "TON", "VEX", "VIA", "ZEN",
         "ZOR")
_LETTERS = {"small": 0.06, "medium": 0.075, "large": 0.095}
_MARGIN = 0.02


def sign_scene(seed: int, index: int) -> Scene:
    """The scene with signs number ``index`` of the dataset ``seed``: two to four objects and two to four signs.

    Nothing covers a sign, no two of its signs show the same line, and most are of different colours.
    """
    random = Random(seed, index, 11)
    label = random.choice(SETTINGS)
    while True:
        objects: list[SceneObject] = []
        for _ in range(2 + random.integer(3)):
            placed = place_object(random, objects)
            if placed is not None and placed.size != "large":
                objects.append(replace(placed, id=len(objects)))
        signs = _signs(random, objects, 2 + random.integer(3))
        if len(objects) >= 2 and len(signs) >= 2:
            return Scene(seed, index, tuple(objects), label, tuple(signs))


def _signs(random: Random, objects: list[SceneObject], wanted: int) -> list[Sign]:
    signs: list[Sign] = []
    taken = [o.box for o in objects]
    for _ in range(2 * wanted):
        lines = tuple(_word(random) for _ in range(2 if random.chance(0.25) else 1))
        colours = [c for c in COLOURS if all(c != sign.colour for sign in signs)]
        colour = random.choice(COLOURS if random.chance(0.1) else colours)
        if len(set(lines)) < len(lines) or any(set(lines) & set(sign.lines) for sign in signs):
            continue
        letters = _LETTERS[random.choice(tuple(_LETTERS))] * random.uniform(0.95, 1.05)
        for _ in range(20):
            width = (max(map(line_width, lines)) + 1.3) * letters
            height = (1 + LINE_PITCH * (len(lines) - 1) + 1.1) * letters
            x = random.uniform(_MARGIN + width / 2, 1 - _MARGIN - width / 2)
            y = random.uniform(_MARGIN + height / 2, 1 - _MARGIN - height / 2)
            sign = Sign(len(signs), lines, colour, x, y, width, height, letters)
            if width < 0.9 and all(_apart(sign.box, box) for box in taken):
                signs.append(sign)
                taken.append(sign.box)
                break
            letters = max(_LETTERS["small"], letters * 0.97)
        if len(signs) == wanted:
            break
    return signs


def _word(random: Random) -> str:
    """A word of the list, more often one that was never seen before, at times a number."""
    kind = random.uniform()
    if kind < 0.4:
        return random.choice(WORDS)
    if kind < 0.5:
        return str(2 + random.integer(998))
    while True:
        word = "".join(random.choice(_ONSETS) + random.choice(_VOWELS) for _ in range(1 + random.integer(2)))
        word += random.choice(_ENDS)
        if len(word) <= 7 and word not in WORDS:
            return word


def _apart(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    gap = _MARGIN
    return a[2] + gap < b[0] or b[2] + gap < a[0] or a[3] + gap < b[1] or b[3] + gap < a[1]
