/* A camera that is not there: loaded into a program with LD_PRELOAD, it answers for /dev/video0 what the V4L2 driver of a
 * webcam would, so that the program's own camera code runs as with a real one. Not a model of all of V4L2: only what one
 * capture device with mapped buffers needs (docs.kernel.org/userspace-api/media/v4l), and only for programs that come
 * through glibc.
 *
 *   cc -O2 -shared -fPIC -o fakecam.so fakecam.c -ldl
 *   FAKECAM=FOLDER LD_PRELOAD=./fakecam.so program
 *
 * In FOLDER:
 *   offers        a line for each way in which it sends: YUYV, NV12 or MJPG, width, height, pictures a second
 *   clip.y4m      the pictures, 8-bit 4:2:0, scaled to what is asked for; they begin anew with each stream
 *   frames.mjpeg  the same as JPEGs one after the other, at their own size
 * and while a file of that name is there, the camera is
 *   unplugged     gone from /dev; who has it open gets ENODEV
 *   refused       not to be opened (EACCES)
 *   busy          streaming to another program (EBUSY)
 *   stalled       silent
 *   broken        failing at each picture (EIO)
 *   crowded       on a bus without room for what is not compressed (ENOSPC)
 *   padded        giving rows and buffers that are longer than the picture, with dirt in between
 *   second        not alone: /dev/video1 is there too and shows the same. One of the two streams at a time, and only the
 *                 first can be unplugged
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CAMERAS 2
#define PAGE 4096u
#define MOST_OPENERS 8
#define MOST_OFFERS 32
#define MOST_BUFFERS 8
#define MOST_JPEGS 4096
#define DIRT 0xee

static const char *const node[CAMERAS] = {"video0", "video1"};
static const char *const name[CAMERAS] = {"Fake Camera", "Second Camera"};

/* glibc's own function behind the one that is defined here. */
#define REAL(function) ({                                     \
    static __typeof__(&function) real;                        \
    if (!real) real = dlsym(RTLD_NEXT, #function);            \
    real;                                                     \
})

struct offer { uint32_t pixels, width, height, fps; };

/* Pictures, read once. */
static struct { const uint8_t *start; size_t length; } clip, jpegs;
static uint32_t clip_width, clip_height, clip_count;
static size_t clip_first, jpeg_at[MOST_JPEGS + 1], jpeg_count;

/* The device. Each opener has a timer of its own as file descriptor, so that poll() can wait for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int openers[MOST_OPENERS]; /* file descriptor + 1 */
static int opened[MOST_OPENERS]; /* which of the cameras */
static struct offer offers[MOST_OFFERS];
static int offer_count;
static struct offer set;
static struct {
    int owner; /* who asked for buffers, or -1 */
    int memory, count, streaming;
    uint32_t length, stride; /* of a buffer; from one to the next */
    uint8_t *mapped;
    uint32_t queue[MOST_BUFFERS], queued;
    uint64_t sequence;
} stream = {.owner = -1};

static int is(const char *state) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", getenv("FAKECAM"), state);
    return access(path, F_OK) == 0;
}

static int is_gone(int camera) {
    return camera ? !is("second") : is("unplugged");
}

/* The camera behind a file descriptor, or -1. */
static int camera_of(int fd) {
    for (int i = 0; i < MOST_OPENERS; i++)
        if (openers[i] && openers[i] == fd + 1) return opened[i];
    return -1;
}

static int fail(int error) {
    errno = error;
    return -1;
}

static const uint8_t *map_file(const char *name, size_t *length) {
    char path[PATH_MAX];
    struct stat about;
    snprintf(path, sizeof path, "%s/%s", getenv("FAKECAM"), name);
    int file = REAL(open)(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &about)) return NULL;
    *length = about.st_size;
    void *mapped = REAL(mmap)(NULL, *length, PROT_READ, MAP_PRIVATE, file, 0);
    REAL(close)(file);
    return mapped == MAP_FAILED ? NULL : mapped;
}

static void read_offers(void) {
    char path[PATH_MAX], pixels[5] = "";
    snprintf(path, sizeof path, "%s/offers", getenv("FAKECAM"));
    FILE *file = fopen(path, "re");
    if (!file) return;
    struct offer *offer = offers;
    while (offer_count < MOST_OFFERS
           && fscanf(file, "%4s %u %u %u", pixels, &offer->width, &offer->height, &offer->fps) == 4) {
        offer->pixels = v4l2_fourcc(pixels[0], pixels[1], pixels[2], pixels[3]);
        offer++, offer_count++;
    }
    fclose(file);
    set = offers[0];
}

__attribute__((constructor)) static void load(void) {
    if (!getenv("FAKECAM")) return;
    read_offers();
    clip.start = map_file("clip.y4m", &clip.length);
    jpegs.start = map_file("frames.mjpeg", &jpegs.length);
    if (clip.start && sscanf((const char *)clip.start, "YUV4MPEG2 W%u H%u", &clip_width, &clip_height) == 2) {
        clip_first = (const uint8_t *)memchr(clip.start, '\n', clip.length) + 1 - clip.start;
        clip_count = (clip.length - clip_first) / (6 + clip_width * clip_height * 3 / 2);
    }
    for (size_t at = 0; at + 2 < jpegs.length && jpeg_count < MOST_JPEGS; at++)
        if (!memcmp(jpegs.start + at, "\xff\xd8\xff", 3)) jpeg_at[jpeg_count++] = at;
    jpeg_at[jpeg_count] = jpegs.length;
}

/* From one row to the next; 0 for JPEG, as drivers have it. */
static uint32_t row_bytes(struct offer o) {
    if (o.pixels == V4L2_PIX_FMT_MJPEG) return 0;
    return (o.pixels == V4L2_PIX_FMT_YUYV ? o.width * 2 : o.width) + (is("padded") ? 64 : 0);
}

static uint32_t picture_bytes(struct offer o) {
    if (o.pixels == V4L2_PIX_FMT_MJPEG) return o.width * o.height * 2;
    return o.pixels == V4L2_PIX_FMT_YUYV ? row_bytes(o) * o.height : row_bytes(o) * o.height * 3 / 2;
}

/* Draws the picture of that number into a buffer, scaled by leaving out and repeating. Gives its length. */
static uint32_t draw(uint8_t *out, uint64_t number) {
    memset(out, DIRT, stream.length);
    if (set.pixels == V4L2_PIX_FMT_MJPEG) {
        size_t at = jpeg_at[number % jpeg_count], end = jpeg_at[number % jpeg_count + 1];
        uint32_t length = end - at < stream.length ? end - at : stream.length;
        memcpy(out, jpegs.start + at, length);
        return length;
    }
    const uint32_t half = clip_width / 2, row = row_bytes(set);
    const uint8_t *y = clip.start + clip_first + number % clip_count * (6 + clip_width * clip_height * 3 / 2) + 6;
    const uint8_t *u = y + clip_width * clip_height, *v = u + half * (clip_height / 2);
    for (uint32_t line = 0; line < set.height; line++) {
        uint32_t from = line * clip_height / set.height;
        uint8_t *lumas = out + line * row, *colours = out + (set.height + line / 2) * row;
        for (uint32_t x = 0; x < set.width; x++) {
            uint32_t at = x * clip_width / set.width, colour = from / 2 * half + at / 2;
            if (set.pixels == V4L2_PIX_FMT_YUYV) {
                lumas[2 * x] = y[from * clip_width + at];
                lumas[2 * x + 1] = (x & 1 ? v : u)[colour];
            } else {
                lumas[x] = y[from * clip_width + at];
                if (!(line & 1)) colours[x] = (x & 1 ? v : u)[colour];
            }
        }
    }
    return picture_bytes(set);
}

static int capability(int camera, struct v4l2_capability *c) {
    memset(c, 0, sizeof *c);
    strcpy((char *)c->driver, "fakecam");
    strcpy((char *)c->card, name[camera]);
    strcpy((char *)c->bus_info, "platform:fakecam");
    c->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
    c->capabilities = c->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

static int enum_format(struct v4l2_fmtdesc *f) {
    uint32_t index = 0;
    for (int i = 0; i < offer_count; i++) {
        int seen = 0;
        for (int k = 0; k < i; k++) seen |= offers[k].pixels == offers[i].pixels;
        if (seen || index++ != f->index) continue;
        f->pixelformat = offers[i].pixels;
        f->flags = f->pixelformat == V4L2_PIX_FMT_MJPEG ? V4L2_FMT_FLAG_COMPRESSED : 0;
        return 0;
    }
    return fail(EINVAL);
}

static int enum_size(struct v4l2_frmsizeenum *f) {
    uint32_t index = 0;
    for (int i = 0; i < offer_count; i++) {
        int seen = offers[i].pixels != f->pixel_format;
        for (int k = 0; k < i; k++)
            seen |= offers[k].pixels == offers[i].pixels && offers[k].width == offers[i].width
                    && offers[k].height == offers[i].height;
        if (seen || index++ != f->index) continue;
        f->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        f->discrete.width = offers[i].width;
        f->discrete.height = offers[i].height;
        return 0;
    }
    return fail(EINVAL);
}

static int enum_interval(struct v4l2_frmivalenum *f) {
    uint32_t index = 0;
    for (int i = 0; i < offer_count; i++) {
        struct offer o = offers[i];
        if (o.pixels != f->pixel_format || o.width != f->width || o.height != f->height || index++ != f->index) continue;
        f->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        f->discrete.numerator = 1;
        f->discrete.denominator = o.fps;
        return 0;
    }
    return fail(EINVAL);
}

static int is_taken(void) { return stream.owner >= 0 || is("busy"); }

static int format(unsigned long request, struct v4l2_format *f) {
    struct v4l2_pix_format *p = &f->fmt.pix;
    struct offer wanted = set;
    if (request != VIDIOC_G_FMT) {
        /* What is not offered becomes the first offer, as drivers do with what they cannot. */
        wanted = offers[0];
        for (int i = offer_count - 1; i >= 0; i--)
            if (offers[i].pixels == p->pixelformat && offers[i].width == p->width && offers[i].height == p->height)
                wanted = offers[i];
    }
    if (request == VIDIOC_S_FMT) {
        if (is_taken()) return fail(EBUSY);
        set = wanted;
    }
    memset(p, 0, sizeof *p);
    p->width = wanted.width;
    p->height = wanted.height;
    p->pixelformat = wanted.pixels;
    p->field = V4L2_FIELD_NONE;
    p->colorspace = V4L2_COLORSPACE_SRGB;
    p->bytesperline = row_bytes(wanted);
    p->sizeimage = picture_bytes(wanted);
    return 0;
}

static int parameters(unsigned long request, struct v4l2_captureparm *c) {
    if (request == VIDIOC_S_PARM && c->timeperframe.numerator) {
        uint32_t fps = c->timeperframe.denominator / c->timeperframe.numerator;
        for (int i = 0; i < offer_count; i++) {
            struct offer o = offers[i];
            if (o.pixels == set.pixels && o.width == set.width && o.height == set.height && o.fps == fps) set = o;
        }
    }
    memset(c, 0, sizeof *c);
    c->capability = V4L2_CAP_TIMEPERFRAME;
    c->timeperframe.numerator = 1;
    c->timeperframe.denominator = set.fps;
    return 0;
}

static void tick(int fd, uint32_t fps) {
    struct itimerspec every;
    memset(&every, 0, sizeof every);
    if (fps) every.it_interval.tv_nsec = every.it_value.tv_nsec = 1000000000 / fps - 1;
    timerfd_settime(fd, 0, &every, NULL);
}

static void free_buffers(void) {
    if (stream.owner < 0) return;
    munmap(stream.mapped, (size_t)stream.stride * stream.count);
    REAL(close)(stream.memory);
    stream.owner = -1;
    stream.streaming = stream.count = stream.queued = 0;
}

static int request_buffers(int fd, struct v4l2_requestbuffers *r) {
    if (r->memory != V4L2_MEMORY_MMAP) return fail(EINVAL);
    if (stream.streaming || (stream.owner >= 0 && stream.owner != fd) || is("busy")) return fail(EBUSY);
    free_buffers();
    if (!r->count) return 0;
    if (r->count > MOST_BUFFERS) r->count = MOST_BUFFERS;
    stream.stride = (picture_bytes(set) + 2 * PAGE) / PAGE * PAGE;
    stream.length = is("padded") ? stream.stride : picture_bytes(set);
    stream.memory = memfd_create("fakecam", MFD_CLOEXEC);
    if (stream.memory < 0 || ftruncate(stream.memory, (off_t)stream.stride * r->count)) return -1;
    stream.mapped = REAL(mmap)(NULL, (size_t)stream.stride * r->count, PROT_READ | PROT_WRITE, MAP_SHARED, stream.memory, 0);
    stream.count = r->count;
    stream.owner = fd;
    return 0;
}

static int describe(struct v4l2_buffer *b) {
    if (b->index >= (uint32_t)stream.count) return fail(EINVAL);
    b->length = stream.length;
    b->m.offset = b->index * stream.stride;
    b->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    return 0;
}

static int queue(struct v4l2_buffer *b) {
    if (b->index >= (uint32_t)stream.count || stream.queued == MOST_BUFFERS) return fail(EINVAL);
    stream.queue[stream.queued++] = b->index;
    return 0;
}

static int dequeue(int fd, struct v4l2_buffer *b) {
    uint64_t ticks;
    struct timespec now;
    if (is("broken")) return fail(EIO);
    if (!stream.streaming || !stream.queued || is("stalled")) return fail(EAGAIN);
    if (!(set.pixels == V4L2_PIX_FMT_MJPEG ? jpeg_count : clip_count)) return fail(EIO); /* nothing to show */
    if (read(fd, &ticks, sizeof ticks) != sizeof ticks) return fail(EAGAIN);
    /* Who comes late has missed pictures. */
    stream.sequence += ticks;
    b->index = stream.queue[0];
    memmove(stream.queue, stream.queue + 1, --stream.queued * sizeof *stream.queue);
    describe(b);
    b->sequence = stream.sequence;
    b->bytesused = draw(stream.mapped + b->m.offset, stream.sequence - 1);
    clock_gettime(CLOCK_MONOTONIC, &now);
    b->timestamp.tv_sec = now.tv_sec;
    b->timestamp.tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int stream_on(int fd, int on) {
    if (on && fd != stream.owner) return fail(EINVAL);
    if (on && is("crowded") && set.pixels != V4L2_PIX_FMT_MJPEG) return fail(ENOSPC);
    stream.streaming = on;
    stream.sequence = 0;
    if (!on) stream.queued = 0;
    tick(fd, on ? set.fps : 0);
    return 0;
}

static int answer(int fd, unsigned long request, void *about) {
    request &= 0xffffffffu; /* some hand it over as int */
    if (is_gone(camera_of(fd))) return fail(ENODEV);
    switch (request) {
    case VIDIOC_QUERYCAP: return capability(camera_of(fd), about);
    case VIDIOC_ENUM_FMT: return enum_format(about);
    case VIDIOC_ENUM_FRAMESIZES: return enum_size(about);
    case VIDIOC_ENUM_FRAMEINTERVALS: return enum_interval(about);
    case VIDIOC_G_FMT: case VIDIOC_S_FMT: case VIDIOC_TRY_FMT: return format(request, about);
    case VIDIOC_G_PARM: case VIDIOC_S_PARM: return parameters(request, &((struct v4l2_streamparm *)about)->parm.capture);
    case VIDIOC_REQBUFS: return request_buffers(fd, about);
    case VIDIOC_QUERYBUF: return describe(about);
    case VIDIOC_QBUF: return queue(about);
    case VIDIOC_DQBUF: return dequeue(fd, about);
    case VIDIOC_STREAMON: return stream_on(fd, 1);
    case VIDIOC_STREAMOFF: return stream_on(fd, 0);
    default: return fail(ENOTTY);
    }
}

static int is_ours(int fd) {
    return camera_of(fd) >= 0;
}

static int locked_answer(int fd, unsigned long request, void *about) {
    pthread_mutex_lock(&lock);
    int result = answer(fd, request, about), error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static int open_camera(int camera) {
    if (is_gone(camera)) return fail(ENOENT);
    if (is("refused")) return fail(EACCES);
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    for (int i = 0; i < MOST_OPENERS; i++) {
        int none = 0;
        if (!atomic_compare_exchange_strong(&openers[i], &none, fd + 1)) continue;
        opened[i] = camera;
        return fd;
    }
    REAL(close)(fd);
    return fail(EMFILE);
}

static int open_name(int camera) {
    int fd = memfd_create("name", MFD_CLOEXEC);
    if (dprintf(fd, "%s\n", name[camera]) < 0) return -1;
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Which camera has that node or, with "/name" behind it, name; -1 for any other path. */
static int camera_at(const char *path, const char *folder, const char *behind) {
    size_t length = strlen(folder);
    if (!getenv("FAKECAM") || strncmp(path, folder, length)) return -1;
    for (int i = 0; i < CAMERAS; i++) {
        size_t own = strlen(node[i]);
        if (!strncmp(path + length, node[i], own) && !strcmp(path + length + own, behind)) return i;
    }
    return -1;
}

/* From here on: what programs call. */

#define DEFINE_OPEN(function)                                                    \
    int function(const char *path, int flags, ...) {                             \
        va_list more;                                                            \
        va_start(more, flags);                                                   \
        mode_t mode = va_arg(more, mode_t);                                      \
        va_end(more);                                                            \
        int camera = camera_at(path, "/dev/", "");                               \
        if (camera == 0 || (camera > 0 && is("second"))) return open_camera(camera); \
        camera = camera_at(path, "/sys/class/video4linux/", "/name");            \
        if (camera >= 0) return open_name(camera);                               \
        return REAL(function)(path, flags, mode);                                \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)

int close(int fd) {
    for (int i = 0; fd >= 0 && i < MOST_OPENERS; i++) {
        int ours = fd + 1;
        if (!atomic_compare_exchange_strong(&openers[i], &ours, 0)) continue;
        pthread_mutex_lock(&lock);
        if (stream.owner == fd) free_buffers();
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(fd);
}

/* Six words are what any system call takes; which of them were given is between the caller and the kernel. */
long syscall(long number, ...) {
    va_list more;
    long word[6];
    va_start(more, number);
    for (int i = 0; i < 6; i++) word[i] = va_arg(more, long);
    va_end(more);
    if (number == SYS_ioctl && is_ours(word[0])) return locked_answer(word[0], word[1], (void *)word[2]);
    return REAL(syscall)(number, word[0], word[1], word[2], word[3], word[4], word[5]);
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return REAL(mmap)(address, length, protection, flags, is_ours(fd) ? stream.memory : fd, offset);
}

/* A silent camera is never ready; one that is gone is ready to say so. Both may come about while somebody waits. */
int poll(struct pollfd *who, nfds_t count, int timeout_ms) {
    if (count != 1 || !is_ours(who->fd)) return REAL(poll)(who, count, timeout_ms);
    for (int waited_ms = 0; timeout_ms < 0 || waited_ms <= timeout_ms; waited_ms += 10) {
        if (is_gone(camera_of(who->fd)) || is("broken")) {
            who->revents = POLLERR | POLLHUP;
            return 1;
        }
        int stalled = is("stalled");
        int ready = REAL(poll)(who, stalled ? 0 : 1, 10);
        if (ready && !stalled) return ready;
    }
    who->revents = 0;
    return 0;
}

static DIR *listed;
static int next; /* camera to list */

DIR *opendir(const char *path) {
    DIR *folder = REAL(opendir)(path);
    if (folder && getenv("FAKECAM") && !strcmp(path, "/dev")) listed = folder, next = 0;
    return folder;
}

struct dirent64 *readdir64(DIR *folder) {
    static struct dirent64 camera = {.d_ino = 1, .d_type = DT_CHR};
    struct dirent64 *entry = REAL(readdir64)(folder);
    if (entry || folder != listed) return entry;
    while (next < CAMERAS && is_gone(next)) next++;
    if (next == CAMERAS) return NULL;
    strcpy(camera.d_name, node[next++]);
    return &camera;
}

int closedir(DIR *folder) {
    if (folder == listed) listed = NULL;
    return REAL(closedir)(folder);
}
