// Finding the places in a page at which something is to be put into it.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

namespace lbsticky {

// Looks for a marker in a text that arrives in pieces, however it is cut. Keeps nothing of the text: what may be the
// beginning of a marker is held back until the next piece tells, and is then known anyway.
//
// The marker's first character must not occur in it again.
class Splice {
public:
    explicit Splice(std::string_view marker) noexcept : marker_(marker) {}

    // Takes the next piece. Calls text(part) for every part of what has come so far, in order, each byte once, and
    // found() just before the part that begins with a marker. O(piece).
    template <typename Text, typename Found>
    void take(std::string_view piece, Text&& text, Found&& found) {
        std::size_t held = matched_;  // characters of a marker, in earlier pieces, that were not handed over yet
        std::size_t begin = 0;        // what of this piece was not handed over yet
        for (std::size_t i = 0; i < piece.size(); ++i) {
            if (piece[i] != marker_[matched_]) {
                hand_over(text, marker_.substr(0, std::exchange(held, 0)));
                matched_ = 0;
            }
            if (piece[i] != marker_[matched_] || ++matched_ < marker_.size()) continue;
            const std::size_t end = i + 1;
            hand_over(text, piece.substr(begin, end - (marker_.size() - held) - begin));
            found();
            hand_over(text, marker_);
            begin = end;
            held = matched_ = 0;
        }
        hand_over(text, piece.substr(begin, piece.size() - begin - (matched_ - held)));
    }

    // The end of the text, or a moment at which all of it must go out.
    template <typename Text>
    void flush(Text&& text) {
        hand_over(text, marker_.substr(0, matched_));
        matched_ = 0;
    }

private:
    template <typename Text>
    static void hand_over(Text&& text, std::string_view part) {
        if (!part.empty()) text(part);
    }

    std::string_view marker_;
    std::size_t matched_ = 0;  // characters of the marker at the end of what has come
};

}  // namespace lbsticky
