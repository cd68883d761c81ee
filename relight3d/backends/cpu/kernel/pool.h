// Threads that sleep between calls, and buffers that are used again.
//
// Workers wait on a condition variable and never spin: beside torch's own threads, spinning barriers
// turned a 0.8 ms sort into 84 ms. Everything lives in one object per process, so that a forked
// child starts afresh instead of waiting for threads and locks that only its parent has.
#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <new>
#include <thread>
#include <vector>
#if !defined(_WIN32)
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace relight3d {

class Pool {
 public:
  // Runs job(0) .. job(threads - 1) at once and waits for all; rethrows the first exception.
  void run(int threads, const std::function<void(int)> &job) {
    if (threads <= 1) return job(0);
    std::lock_guard<std::mutex> one_caller(callers_);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while ((int)workers_.size() < threads - 1) {
        int id = (int)workers_.size() + 1;
        workers_.emplace_back([this, id, seen = generation_] { work(id, seen); });
      }
      job_ = &job;
      wanted_ = left_ = threads - 1;
      failure_ = nullptr;
      generation_++;
    }
    wake_.notify_all();
    attempt(job, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    finished_.wait(lock, [&] { return left_ == 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void work(int id, uint64_t seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen && id <= wanted_; });
      seen = generation_;
      const std::function<void(int)> &job = *job_;
      lock.unlock();
      attempt(job, id);
      lock.lock();
      if (--left_ == 0) finished_.notify_one();
    }
  }
  void attempt(const std::function<void(int)> &job, int id) {
    try {
      job(id);
    } catch (...) {
      std::lock_guard<std::mutex> lock(failures_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  std::vector<std::thread> workers_;
  std::mutex callers_, mutex_, failures_;
  std::condition_variable wake_, finished_;
  const std::function<void(int)> *job_ = nullptr;
  std::exception_ptr failure_;
  uint64_t generation_ = 0;
  int wanted_ = 0, left_ = 0;
};

constexpr size_t SMALL_PAGE = 4096, HUGE_PAGE = size_t(1) << 21;

// Asks for huge pages under memory not yet touched: faults on small ones cost more than our sums.
inline void advise_huge(void *p, size_t bytes) {
#if defined(__linux__)
  uintptr_t begin = ((uintptr_t)p + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
  uintptr_t end = ((uintptr_t)p + bytes) & ~(HUGE_PAGE - 1);
  if (end > begin) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
  (void)p, (void)bytes;
#endif
}

// Keeps released blocks for the next call. Fresh pages cost more than the arithmetic done on them.
class Recycler {
 public:
  void *take(size_t bytes, size_t &capacity) {
    bytes = std::max<size_t>(bytes, 4096);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      int best = -1;
      for (int i = 0; i < (int)free_.size(); i++) {
        bool fits = free_[i].bytes >= bytes && free_[i].bytes <= 2 * bytes + 65536;
        if (fits && (best < 0 || free_[i].bytes < free_[best].bytes)) best = i;
      }
      if (best >= 0) {
        Block block = free_[best];
        free_.erase(free_.begin() + best);
        held_ -= block.bytes;
        capacity = block.bytes;
        return block.p;
      }
    }
    size_t page = bytes < HUGE_PAGE / 2 ? SMALL_PAGE : HUGE_PAGE;
    capacity = (bytes + bytes / 8 + page - 1) & ~(page - 1);
    void *p = ::operator new(capacity, alignment(capacity));
    if (page == HUGE_PAGE) advise_huge(p, capacity);
    return p;
  }
  void give(void *p, size_t capacity) {
    std::lock_guard<std::mutex> lock(mutex_);
    free_.push_back({p, capacity});
    held_ += capacity;
    while (free_.size() > MAX_BLOCKS || held_ > MAX_BYTES) {
      Block &oldest = free_.front();
      ::operator delete(oldest.p, alignment(oldest.bytes));
      held_ -= oldest.bytes;
      free_.erase(free_.begin());
    }
  }

 private:
  struct Block {
    void *p;
    size_t bytes;
  };
  static constexpr size_t MAX_BLOCKS = 64, MAX_BYTES = size_t(256) << 20;
  static std::align_val_t alignment(size_t capacity) {
    return std::align_val_t(capacity % HUGE_PAGE ? SMALL_PAGE : HUGE_PAGE);
  }
  std::vector<Block> free_;
  std::mutex mutex_;
  size_t held_ = 0;
};

struct Process {
  Pool pool;
  Recycler recycler;
#if defined(_WIN32)
  static Process &get() {
    static Process *const mine = new Process;
    return *mine;
  }
#else
  pid_t pid = getpid();
  static Process &get() {  // never destroyed: its threads may still sleep at exit
    static std::atomic<Process *> mine{nullptr};
    Process *p = mine.load();
    if (!p || p->pid != getpid()) {
      Process *fresh = new Process;
      if (mine.compare_exchange_strong(p, fresh)) return *fresh;
      delete fresh;  // another thread was first
      return *mine.load();
    }
    return *p;
  }
#endif
};

// A plain array whose memory comes from, and returns to, the recycler. Not initialised.
template <class T> class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t n) { reset(n); }
  Buffer(Buffer &&other) noexcept { *this = std::move(other); }
  Buffer &operator=(Buffer &&other) noexcept {
    std::swap(p_, other.p_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() { drop(); }
  void reset(size_t n) {
    drop();
    p_ = (T *)Process::get().recycler.take(n * sizeof(T), capacity_);
  }
  void drop() {
    if (p_) Process::get().recycler.give(p_, capacity_);
    p_ = nullptr;
  }
  T *data() { return p_; }
  const T *data() const { return p_; }
  T &operator[](size_t i) { return p_[i]; }
  const T &operator[](size_t i) const { return p_[i]; }

 private:
  T *p_ = nullptr;
  size_t capacity_ = 0;
};

inline void parallel(int threads, const std::function<void(int)> &job) {
  Process::get().pool.run(threads, job);
}

// f(begin, end) over pieces of [0, n), taken by whichever thread is free.
template <class F> void parallel_pieces(int threads, size_t n, size_t piece, F f) {
  if (n == 0) return;
  size_t pieces = (n + piece - 1) / piece;
  std::atomic<size_t> next{0};
  parallel((int)std::min<size_t>(threads, pieces), [&](int) {
    for (size_t i; (i = next.fetch_add(piece)) < n;) f(i, std::min(n, i + piece));
  });
}

// The t-th of `parts` nearly equal shares of [0, n).
inline size_t share(size_t n, int t, int parts) { return n * (size_t)t / parts; }

}  // namespace relight3d
