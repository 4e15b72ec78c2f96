(* Euclidean space R^(n+1), and what it means that a vector is a gradient there.

   [Vec n] is R^(n+1), as pairs of pairs; its norm is Coquelicot's norm of a product, and [norm_dot] shows that this is
   the Euclidean one. [is_grad f v g]: f is differentiable at v in Fréchet's sense, with derivative h |-> <g, h>.
   [is_grad_partial]: then the coordinates of g are the partial derivatives of f. The converse fails (P3), which is
   why the development speaks of gradients and not of partial derivatives.

   Carries: nothing by itself; all else rests on it. *)
From Coq Require Import Reals Lra Lia.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
Open Scope R_scope.

(* An equation between elements of a canonical structure on R, as one between reals: what [ring] can read. *)
Ltac in_R := match goal with |- @eq _ ?a ?b => change (@eq R a b) end.

(* ---------------------------------------------------------------- vectors *)

Fixpoint Vec (n : nat) : NormedModule R_AbsRing :=
  match n with O => R_NormedModule | S k => prod_NormedModule R_AbsRing R_NormedModule (Vec k) end.

Fixpoint dot {n : nat} : Vec n -> Vec n -> R :=
  match n return Vec n -> Vec n -> R with
  | O => fun u v => Rmult u v
  | S k => fun u v => fst u * fst v + dot (snd u) (snd v) end.

Fixpoint coord {n : nat} (j : nat) : Vec n -> R :=
  match n return Vec n -> R with
  | O => fun u => u
  | S k => fun u => match j with O => fst u | S j' => coord j' (snd u) end end.

Fixpoint basis {n : nat} (j : nat) : Vec n :=
  match n return Vec n with
  | O => 1
  | S k => match j with O => (1, zero) | S j' => (0, basis j') end end.

(* ---------------------------------------------------------------- the inner product *)

Section InnerProduct.
Context {n : nat}.
Implicit Types u v : Vec n.

Lemma dot_sym u v : dot u v = dot v u.
Proof. induction n as [|k IH]; simpl; [apply Rmult_comm|]. rewrite IH; ring. Qed.

Lemma dot_plus_r u v v' : dot u (plus v v') = dot u v + dot u v'.
Proof.
induction n as [|k IH].
- change (plus v v') with (Rplus v v'); simpl; ring.
- change (fst u * (fst v + fst v') + dot (snd u) (plus (snd v) (snd v')) = dot u v + dot u v').
  rewrite IH; simpl; ring.
Qed.

Lemma dot_scal_r u v (k : R) : dot u (scal k v) = k * dot u v.
Proof.
induction n as [|p IH].
- change (scal k v) with (Rmult k v); simpl; ring.
- change (fst u * (k * fst v) + dot (snd u) (scal k (snd v)) = k * dot u v).
  rewrite IH; simpl; ring.
Qed.

Lemma dot_zero_r u : dot u zero = 0.
Proof. assert (H := dot_plus_r u zero zero). rewrite plus_zero_l in H. lra. Qed.

Lemma dot_opp_r u v : dot u (opp v) = - dot u v.
Proof. assert (H := dot_plus_r u v (opp v)). rewrite plus_opp_r dot_zero_r in H. lra. Qed.

Lemma dot_minus_r u v v' : dot u (minus v v') = dot u v - dot u v'.
Proof. unfold minus. rewrite dot_plus_r dot_opp_r; ring. Qed.

Lemma dot_plus_l u u' v : dot (plus u u') v = dot u v + dot u' v.
Proof. now rewrite dot_sym dot_plus_r !(dot_sym v). Qed.

Lemma dot_scal_l u v (k : R) : dot (scal k u) v = k * dot u v.
Proof. now rewrite dot_sym dot_scal_r dot_sym. Qed.

Lemma dot_zero_l u : dot zero u = 0.
Proof. rewrite dot_sym; apply dot_zero_r. Qed.

Lemma dot_pos u : 0 <= dot u u.
Proof.
induction n as [|k IH]; simpl; [apply Rle_0_sqr|].
apply Rplus_le_le_0_compat; [apply Rle_0_sqr|apply IH].
Qed.

Lemma norm_sq u : norm u ^ 2 = dot u u.
Proof.
induction n as [|k IH].
- change (norm u) with (Rabs u). rewrite pow2_abs; simpl; ring.
- change (norm u) with (sqrt (norm (fst u) ^ 2 + norm (snd u) ^ 2)). rewrite pow2_sqrt.
  + change (norm (fst u)) with (Rabs (fst u)). rewrite pow2_abs IH; simpl; ring.
  + pose proof (pow2_ge_0 (norm (fst u))); pose proof (pow2_ge_0 (norm (snd u))); lra.
Qed.

Lemma norm_dot u : norm u = sqrt (dot u u).
Proof. rewrite -norm_sq sqrt_pow2; [reflexivity|apply norm_ge_0]. Qed.

(* 0 <= |p v - q u|^2 with p = |u|^2 and q = <u, v> *)
Lemma Cauchy_Schwarz_squared u v : dot u v ^ 2 <= dot u u * dot v v.
Proof.
destruct (Rle_lt_or_eq_dec 0 (dot u u) (dot_pos u)) as [P|Z].
- pose proof (dot_pos (minus (scal (dot u u) v) (scal (dot u v) u))) as H.
  rewrite dot_minus_r !dot_scal_r (dot_sym _ v) (dot_sym _ u) !dot_minus_r !dot_scal_r (dot_sym v u) in H.
  apply Rmult_le_reg_l with (dot u u); [exact P|]. nra.
- assert (N : norm u = 0) by (rewrite norm_dot -Z; apply sqrt_0).
  apply norm_eq_zero in N. rewrite N !dot_zero_l. lra.
Qed.

Lemma Cauchy_Schwarz u v : Rabs (dot u v) <= norm u * norm v.
Proof.
rewrite !norm_dot -sqrt_mult; [|apply dot_pos|apply dot_pos].
rewrite -sqrt_Rsqr_abs; apply sqrt_le_1_alt; unfold Rsqr.
pose proof (Cauchy_Schwarz_squared u v). lra.
Qed.

Lemma dot_linear u : is_linear (dot u).
Proof.
split; [intros x y; apply dot_plus_r|intros k x; apply dot_scal_r|].
exists (norm u + 1); split; [pose proof (norm_ge_0 u); lra|].
intros x. apply Rle_trans with (norm u * norm x); [apply Cauchy_Schwarz|].
apply Rmult_le_compat_r; [apply norm_ge_0|lra].
Qed.
End InnerProduct.

Lemma dot_basis {n : nat} j (u : Vec n) : (j <= n)%nat -> dot u (basis j) = coord j u.
Proof.
revert j; induction n as [|k IH]; intros j Hj; simpl; [ring|].
destruct j as [|j]; simpl.
- rewrite dot_zero_r; ring.
- rewrite IH; [ring|lia].
Qed.

(* ---------------------------------------------------------------- gradients *)

Definition is_grad {n : nat} (f : Vec n -> R) (v g : Vec n) := filterdiff f (locally v) (dot g).

(* The chain rule along a curve: step P3. *)
Lemma P3_chain_rule {n : nat} (f : Vec n -> R) (w : R -> Vec n) (t : R) (w' g : Vec n) :
  is_derive w t w' -> is_grad f (w t) g -> is_derive (fun s => f (w s)) t (dot g w').
Proof.
intros Hw Hf. unfold is_derive in *.
apply filterdiff_ext_lin with (fun y => dot g (scal y w')).
- now apply (filterdiff_comp' w f t).
- intros y. apply dot_scal_r.
Qed.

Lemma is_grad_directional {n : nat} (f : Vec n -> R) (v g h : Vec n) :
  is_grad f v g -> is_derive (fun s : R => f (plus v (scal s h))) 0 (dot g h).
Proof.
intros Hf. apply (P3_chain_rule f (fun s => plus v (scal s h)) 0 h g).
- assert (H := is_derive_plus (fun _ : R => v) (fun s : R => scal s h) 0 zero (scal one h)
     (is_derive_const v 0) (is_derive_scal_l (fun s : R => s) 0 one h (is_derive_id 0))).
  now rewrite plus_zero_l scal_one in H.
- now rewrite (scal_zero_l (K := R_Ring)) plus_zero_r.
Qed.

(* A gradient is the vector of the partial derivatives. *)
Lemma is_grad_partial {n : nat} (f : Vec n -> R) v g j : (j <= n)%nat ->
  is_grad f v g -> is_derive (fun s : R => f (plus v (scal s (basis j)))) 0 (coord j g).
Proof.
intros Hj H. rewrite <- (dot_basis j g Hj). now apply is_grad_directional.
Qed.

Lemma is_grad_unique {n : nat} (f : Vec n -> R) v g g' :
  is_grad f v g -> is_grad f v g' -> forall h, dot g h = dot g' h.
Proof.
intros H H' h. rewrite <- (is_derive_unique _ _ _ (is_grad_directional f v g h H)).
apply (is_derive_unique _ _ _ (is_grad_directional f v g' h H')).
Qed.

Lemma is_grad_ext {n : nat} (f f' : Vec n -> R) v g :
  (forall u, f u = f' u) -> is_grad f v g -> is_grad f' v g.
Proof. intros E H. now apply filterdiff_ext with f. Qed.

Lemma is_grad_continuous {n : nat} (f : Vec n -> R) v g : is_grad f v g -> continuous f v.
Proof. intros H. apply (filterdiff_continuous f). now exists (dot g). Qed.

Lemma is_grad_const {n : nat} (c : R) (v : Vec n) : is_grad (fun _ => c) v zero.
Proof.
apply filterdiff_ext_lin with (fun _ : Vec n => zero : R).
- apply (filterdiff_const (V := R_NormedModule)).
- intros h. now rewrite dot_zero_l.
Qed.

Lemma is_grad_plus {n : nat} (f g : Vec n -> R) v df dg :
  is_grad f v df -> is_grad g v dg -> is_grad (fun u => f u + g u) v (plus df dg).
Proof.
intros Hf Hg. apply filterdiff_ext_lin with (fun h => plus (dot df h) (dot dg h)).
- apply (filterdiff_plus_fct (V := R_NormedModule)); assumption.
- intros h. now rewrite dot_plus_l.
Qed.

Lemma is_grad_scal {n : nat} (k : R) (f : Vec n -> R) v df :
  is_grad f v df -> is_grad (fun u => k * f u) v (scal k df).
Proof.
intros Hf. apply filterdiff_ext_lin with (fun h => scal k (dot df h)).
- apply (filterdiff_scal_r_fct (V := R_NormedModule)); [intros; apply Rmult_comm|exact Hf].
- intros h. now rewrite dot_scal_l.
Qed.

(* The chain rule in the loss: step P5. *)
Lemma P5_chain_rule {n : nat} (f : Vec n -> R) (l : R -> R) v df dl :
  is_grad f v df -> is_derive l (f v) dl -> is_grad (fun u => l (f u)) v (scal dl df).
Proof.
intros Hf Hl. apply filterdiff_ext_lin with (fun h => scal (dot df h) dl).
- exact (filterdiff_comp' f l v _ _ Hf Hl).
- intros h. rewrite dot_scal_l. apply Rmult_comm.
Qed.

(* In one dimension a gradient is the derivative. *)
Lemma is_grad_is_derive (f : Vec 0 -> R) (v g : R) : is_derive f v g -> is_grad (n := 0) f v g.
Proof.
intros H. apply filterdiff_ext_lin with (fun y : R => scal y g); [exact H|].
intros y. apply Rmult_comm.
Qed.
