"""How well speech can be understood after a call, beside what was said: ESTOI (Jensen and Taal 2016), by pystoi.

    estoi.py SAID.wav HEARD.wav SAID_AT:HEARD_AT:LENGTH ...

Both files are mono, 16 bit and of one rate; places and lengths are in samples. Prints a line a place: about 1 for the same
speech, whatever its loudness, about 0 for any other sound.
"""

import sys
import wave

import numpy
from pystoi import stoi


def read(path):
    with wave.open(path) as file:
        samples = numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return samples / 32768.0, file.getframerate()


said, rate_hz = read(sys.argv[1])
heard, _ = read(sys.argv[2])
for place in sys.argv[3:]:
    said_at, heard_at, length = (int(number) for number in place.split(":"))
    print(stoi(said[said_at:][:length], heard[heard_at:][:length], rate_hz, extended=True))
